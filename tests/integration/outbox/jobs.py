"""Job functions of these tests."""

from __future__ import annotations

from django_redisjobs import conf, get_connection, job


def notes() -> str:
    """The list in which jobs say that they ran."""
    return f"{conf.get_settings().prefix}:notes"


@job
def note(number: int) -> int:
    get_connection().rpush(notes(), number)
    return number
