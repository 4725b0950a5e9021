"""What is left of a job when it has ended."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any, cast

import pytest

from django_redisjobs.worker.execution import Execution


class Held:
    """Says when nobody holds it any more."""

    def __init__(self, gone: list[str]) -> None:
        self.gone = gone

    def __del__(self) -> None:
        self.gone.append("gone")


def let_go(error: BaseException) -> None:
    Execution.let_go(cast(Any, None), error)


def fail(held: Held) -> None:
    raise ValueError("with something in its frame")


@pytest.mark.parametrize("how", ["alone", "cause", "group"])
def test_what_its_frames_hold_dies(how: str) -> None:
    gone: list[str] = []
    with pytest.raises(ValueError, match="in its frame") as caught:
        fail(Held(gone))
    error: BaseException = caught.value
    if how == "cause":
        error = RuntimeError()
        error.__cause__ = caught.value
    elif how == "group":
        error = BaseExceptionGroup("several", [caught.value])
    assert not gone

    let_go(error)

    gc.collect()
    assert gone == ["gone"]


def going_on() -> Iterator[BaseException | None]:
    """Gives its errors to others and goes on."""
    error: BaseException | None = None
    while True:
        try:
            yield error
            raise ValueError("of one of many")
        except ValueError as found:
            error = found


def test_who_only_handed_over_the_error_goes_on() -> None:
    others = going_on()
    next(others)
    error = next(others)
    assert error is not None

    let_go(error)

    assert isinstance(next(others), ValueError)
