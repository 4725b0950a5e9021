"""Nothing but what comes out."""

from __future__ import annotations


def check() -> None:
    names = globals()
    assert names["handle"].result(timeout=0) == 12
    assert names["named"].result(timeout=0) == 3
    assert names["failing"].status() is names["JobStatus"].FAILED
    assert names["info"].error == "ZeroDivisionError: division by zero"
    assert "a / b" in names["info"].attempts[-1].traceback
