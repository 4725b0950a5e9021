"""A private Redis for one project on one machine, as SQLite is a private database.

``ensure(folder)`` starts it when it does not run. A *guardian* process of its own
watches it, and both go within ten seconds of the last process that used them.

Everything rests on file locks that the kernel lets go when a process dies, however
it dies: ``users.lock`` is held shared by each process that uses the server,
``guardian.lock`` by the guardian, ``server.lock`` by the server, and ``start.lock``
by whoever starts a guardian.
"""

from __future__ import annotations

from django_redisjobs.embedded.starting import ServerNotStarted, ensure

__all__ = ["ServerNotStarted", "ensure"]
