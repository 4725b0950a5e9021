"""What an ended attempt leads to. Pure: no clock, no Redis, no Django state."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Final

from django_redisjobs.context import MESSAGE_LIMIT
from django_redisjobs.core.settlements import Kind
from django_redisjobs.core.texts import encodable
from django_redisjobs.exceptions import (
    JobInterrupted,
    JobTimeout,
    MissingInstance,
    PayloadMalformed,
    PayloadUnknown,
    SignatureRejected,
    UnknownJobFunction,
)
from django_redisjobs.retries import Retry

CANCEL: Final = "cancel"
SHUTDOWN: Final = "shutdown"
TIMEOUT: Final = "timeout"

TRACEBACK_LIMIT: Final = 24_000
_FRAMES_LIMIT: Final = 60


class ArgumentsRefused(Exception):
    """The stored arguments do not fit the function's signature in this build."""


# Before the function was called. Trying again cannot help: the same envelope gives the
# same end.
_FINAL = (PayloadMalformed, MissingInstance)
# Another worker may know what to do: one of another release, or with other settings.
_PARKING = (UnknownJobFunction, PayloadUnknown, SignatureRejected)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``kind`` is a settlement's, ``word`` an attempt's outcome ("" for none)."""

    kind: Kind
    word: str
    delay_seconds: float = 0.0


RELEASED: Final = Verdict("released", "")
PARKED: Final = Verdict("parked", "")
CANCELLED: Final = Verdict("cancelled", "cancelled")


@dataclass(frozen=True, slots=True)
class Description:
    """An exception as text that is safe to store and to print."""

    exception_class: str
    message: str
    traceback: str

    @property
    def line(self) -> str:
        name = self.exception_class.rpartition(".")[2]
        return f"{name}: {self.message}" if self.message else name


def judge(
    error: BaseException,
    *,
    retries_made: int,
    retry: Retry,
    rng: Random,
    interrupted: str = "",
    discard_missing: bool = False,
    final: bool = False,
    called: bool = False,
) -> Verdict:
    """What follows when an attempt ended with ``error``.

    ``interrupted`` says why the worker interrupted it (``CANCEL``, ``SHUTDOWN`` or
    ``TIMEOUT``), if it did. A cancelled job ends as such however it reacted; a
    job that a shutdown stopped goes back uncounted, unless it failed by itself.
    ``final``: another attempt would end the same way. ``called``: the job's function
    was; then what it raises is its own, also where it asks for other jobs.
    """
    if interrupted == CANCEL:
        return CANCELLED
    if interrupted == SHUTDOWN and stems_from(error, JobInterrupted):
        return RELEASED
    if isinstance(error, ArgumentsRefused):
        return PARKED
    if not called:
        if isinstance(error, _PARKING):
            return PARKED
        if discard_missing and isinstance(error, MissingInstance):
            return CANCELLED
        final = final or isinstance(error, _FINAL)
    word = "timeout" if stems_from(error, JobTimeout) else "failed"
    if not final and retry.allows(error, retries_made):
        return Verdict("retry", word, retry.delay_seconds(retries_made + 1, rng))
    return Verdict("failed", word)


def stems_from(error: BaseException, kind: type[BaseException]) -> bool:
    """Whether ``error`` is of ``kind``, or a group that has one in it."""
    if isinstance(error, BaseExceptionGroup):
        return any(stems_from(each, kind) for each in error.exceptions)
    return isinstance(error, kind)


def describe(
    error: BaseException,
    instead: str = "",
    hide: Callable[[str], str] = lambda text: text,
) -> Description:
    """Texts of an exception, whatever its class does when it is printed.

    ``instead``: the message of an exception that has none. ``hide`` takes out what
    nobody is to see, before anything is cut: half a secret would not be found.
    """
    return Description(
        _class_name(type(error)),
        shorten(hide(_message(error) or instead), MESSAGE_LIMIT),
        shorten(hide(_traceback(error)), TRACEBACK_LIMIT),
    )


def shorten(text: str, limit: int) -> str:
    """``text`` with its middle left out when it is over ``limit`` characters.

    What UTF-8 cannot carry is spelled out.
    """
    text = encodable(text)
    if len(text) <= limit:
        return text
    half = limit // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n… {left_out:,} characters left out …\n{text[-half:]}"


def _class_name(kind: type[BaseException]) -> str:
    module = getattr(kind, "__module__", "")
    name = getattr(kind, "__qualname__", "") or "Exception"
    return name if module in ("builtins", "", None) else f"{module}.{name}"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as broken:  # noqa: BLE001 - __str__ is anybody's code
        return f"(its __str__ raised {type(broken).__name__})"


def _traceback(error: BaseException) -> str:
    skipped = _without_framework(error.__traceback__)
    try:
        lines = traceback.TracebackException(
            type(error), error, skipped, limit=-_FRAMES_LIMIT, compact=True
        )
        return "".join(lines.format())
    except BaseException:  # noqa: BLE001 - formatting calls anybody's code
        frames = "".join(_plain_frames(skipped))
        return f"Traceback (most recent call last):\n{frames}{_class_name(type(error))}"


def _without_framework(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in the job's own code."""
    inner = trace
    while inner is not None and _is_framework(inner):
        inner = inner.tb_next
    # An error of the worker's own preparations has no other frames: keep them.
    return inner or trace


def _is_framework(trace: TracebackType) -> bool:
    module = trace.tb_frame.f_globals.get("__name__", "")
    return isinstance(module, str) and module.startswith("django_redisjobs.")


def _plain_frames(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        code = trace.tb_frame.f_code
        yield f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}\n'
        trace = trace.tb_next
