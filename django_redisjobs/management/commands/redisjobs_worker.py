"""``runworker`` under a name that no other package has (Channels has one, too)."""

from __future__ import annotations

from django_redisjobs.management.commands.runworker import Command

__all__ = ["Command"]
