"""Job functions of the tests on PostgreSQL."""

from __future__ import annotations

from django_redisjobs import job


@job
def note(number: int) -> int:
    return number
