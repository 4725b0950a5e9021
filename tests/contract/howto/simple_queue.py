"""Nothing but what comes out."""

from __future__ import annotations

from django_redisjobs import JobStatus


def check() -> None:
    names = globals()
    assert names["handle"].result(timeout=0) == 12
    assert names["named"].result(timeout=0) == 3
    assert names["failing"].status() is JobStatus.FAILED
    (attempt,) = names["info"].attempts
    assert names["info"].error == "ZeroDivisionError: division by zero"
    assert attempt.exception_class == "ZeroDivisionError"
    assert "a / b" in attempt.traceback
    slow = names["slow"].info()
    assert slow.status is JobStatus.FAILED
    assert slow.attempts[-1].outcome == "timeout"
    assert "JobTimeout" in slow.attempts[-1].exception_class
