"""Write a row and enqueue a job about it in one transaction, and die at some point."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(number: int, point: str) -> None:
    django.setup()
    # Only now: apps have to be there.
    from django.db import connection, transaction

    from django_redisjobs import enqueueing
    from tests.integration.outbox.jobs import note

    if point == "after sending":
        enqueueing._clear = die
    elif point == "after removing":
        enqueueing.forget_sent = die
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO made VALUES (%s)", [number])
        if point == "before sending":
            transaction.on_commit(die)
        elif point == "foreign hook":
            transaction.on_commit(lambda: 1 // 0)
        note.delay(number)
        if point == "before the commit":
            die()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
