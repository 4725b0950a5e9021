"""Django's database connections around a job, as around a request.

Only threads that ever opened a connection pay for it: asking Django's connection
handler costs more than a small job.
"""

from __future__ import annotations

import logging
from threading import get_ident
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.signals import connection_created

logger = logging.getLogger("redisjobs.worker")

_opened: set[int] = set()
_executors: set[int] = set()


def watch() -> None:
    """Begin to note which threads open connections; once in a process."""
    connection_created.connect(_note, dispatch_uid="django_redisjobs.worker")


def begin_executor() -> None:
    """The calling thread runs jobs, and tidies up after itself."""
    _executors.add(get_ident())
    if any(each.connection for each in connections.all(initialized_only=True)):
        _opened.add(get_ident())


def end_executor() -> None:
    """The calling thread runs no more jobs: close what it opened.

    But for a transaction around the whole worker: that is a caller's, in a test.
    """
    _executors.discard(get_ident())
    if get_ident() in _opened:
        _opened.discard(get_ident())
        for each in connections.all(initialized_only=True):
            if not each.in_atomic_block:
                each.close()


def refresh() -> None:
    """Before and after a job: drop what is stale, broken or too old."""
    if get_ident() in _opened:
        _refresh()


async def arefresh() -> None:
    """The same for jobs on the event loop: their connections live in threads of
    asgiref's, where ``sync_to_async`` runs what it is given.
    """
    if not _opened <= _executors:
        await sync_to_async(_refresh)()


def _refresh() -> None:
    try:
        reset_queries()
        close_old_connections()
    except Exception as error:
        # What the job raised meanwhile is told elsewhere, without what is to be hidden.
        error.__suppress_context__ = True
        logger.warning("A database connection could not be tidied up.", exc_info=error)


def _note(**_: Any) -> None:
    _opened.add(get_ident())
