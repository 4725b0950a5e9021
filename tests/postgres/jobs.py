"""Job functions of the tests on PostgreSQL."""

from __future__ import annotations

import os
from contextlib import suppress

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import ProgrammingError, connection

from django_redisjobs import job


@job
def note(number: int) -> int:
    return number


def _backend() -> int:
    """The server's process behind the connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


# As modules do that ask the database while they are imported: in the supervisor.
AT_IMPORT = (
    _backend() if settings.SETTINGS_MODULE == "tests.postgres.worker_settings" else None
)


@job(retry=0)
def ask(rounds: int) -> tuple[int, int, int | None, bool]:
    """Own process; who answers; who answered the supervisor; whether by TLS."""
    for _ in range(rounds):
        _backend()
    with connection.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        encrypted = bool(cursor.fetchone()[0])
    return os.getpid(), _backend(), AT_IMPORT, encrypted


@job(retry=0)
def ask_wrongly(*, well: bool) -> None:
    """PostgreSQL refuses all that follows in the transaction, and Django is not told."""
    Group.objects.create(name="of the job")
    with suppress(ProgrammingError if well else ()), connection.cursor() as cursor:
        cursor.execute("SELECT nothing")
