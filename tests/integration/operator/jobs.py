"""Job functions for the command's tests."""

from __future__ import annotations

from django_redisjobs import Retry, job


@job
def add(a: int, b: int = 2) -> int:
    return a + b


@job(queue="high", retry=Retry(max=1, base=60))
def fail(message: str) -> None:
    raise ValueError(message)


@job(queue="low")
def later() -> None: ...
