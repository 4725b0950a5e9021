"""What ``@job`` and ``.using`` accept, checked where it is written."""

from __future__ import annotations

import difflib
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal, TypeAlias, TypedDict

from django_redisjobs.durations import Duration, parse_duration
from django_redisjobs.exceptions import DefinitionError
from django_redisjobs.retries import Retry


class Inherit(Enum):
    """A value that was not given: the job function's, else the queue's, is used."""

    INHERIT = "inherit"


INHERIT: Final = Inherit.INHERIT

Callback: TypeAlias = str | Callable[[str], Any]
DECORATED: Final = "has a decorator above its @job. Workers leave it out: put it below."
LOWEST_PRIORITY: Final = -100
HIGHEST_PRIORITY: Final = 100


class JobArguments(TypedDict, total=False):
    """The keyword arguments of ``@job``, but for the queue."""

    timeout: Duration | None
    retry: Retry | int | None
    result_ttl: Duration
    on_success: Callback
    on_failure: Callback
    on_missing: Literal["fail", "discard"]
    atomic: bool
    settle_each: bool
    priority: int
    expires: Duration | None
    on_commit: bool | None
    using_db: str | None


class CallArguments(TypedDict, total=False):
    """The keyword arguments of ``.using``."""

    queue: str
    run_after: Duration | datetime | None
    priority: int
    expires: Duration | None
    on_commit: bool | None
    using_db: str | None
    timeout: Duration | None
    retry: Retry | int | None
    result_ttl: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """All that is settled about a job function and the jobs it enqueues.

    Durations are seconds. ``run_after`` is seconds from the enqueueing, or an
    aware time. ``on_missing``: what a job does whose row is gone, ``"fail"`` or
    ``"discard"``. ``atomic``: it runs in a transaction, of the database that
    ``using_db`` or ON_COMMIT names, else of the default one.
    ``settle_each``: its end is written before another one begins in its thread, or in its
    place on the event loop.
    """

    queue: str = "default"
    timeout: float | Inherit | None = INHERIT
    retry: Retry | Inherit = INHERIT
    result_ttl: float | Inherit = INHERIT
    on_success: str | None = None
    on_failure: str | None = None
    on_missing: str = "fail"
    atomic: bool = False
    settle_each: bool = False
    priority: int = 0
    run_after: float | datetime | None = None
    expires: float | None = None
    on_commit: bool | None = None
    using_db: str | None = None


def read_options(
    given: Mapping[str, Any], allowed: frozenset[str], where: str
) -> dict[str, Any]:
    """``given`` as values of ``JobOptions``. ``where`` begins each message.

    Raises:
        DefinitionError: a TypeError; an option that is unknown or of a wrong type.
        ValueError: a value is out of range.
    """
    unknown = [name for name in given if name not in allowed]
    if unknown:
        near = difflib.get_close_matches(unknown[0], allowed, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DefinitionError(
            f"{where} has no option {unknown[0]!r}.{hint} Choose from "
            f"{', '.join(sorted(allowed))}."
        )
    values = {}
    for name, value in given.items():
        try:
            values[name] = _READERS[name](value)
        except TypeError as error:
            raise DefinitionError(f"{where}: {name}={value!r}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{where}: {name}={value!r}: {error}") from error
    return values


def read_run_after(value: Duration | datetime | None) -> float | datetime | None:
    """Seconds from the enqueueing, or an aware time; None for at once.

    Raises:
        ValueError: a naive datetime, a negative time, not a number.
    """
    if value is None:
        return None
    if not isinstance(value, datetime):
        return parse_duration(value)
    if value.utcoffset() is None:
        raise ValueError(
            "a datetime without a time zone does not say when. Start from "
            "datetime.now(UTC), or use make_aware(...). (timezone.now() has no time "
            "zone where USE_TZ is False.)"
        )
    return value


def read_queue(value: Any) -> str:
    """The name of a queue. Raises TypeError for anything but text, such as a list."""
    if not isinstance(value, str):
        raise TypeError(f"The name of a queue is a str, not {value!r}.")
    return value


def function_path(function: Callable[..., Any]) -> str:
    """The dotted path by which a worker finds ``function``.

    Raises:
        DefinitionError: it could not find it: no function, or not one at the top
            level of an importable module.
    """
    if not inspect.isfunction(function):
        raise DefinitionError(
            f"@job needs a function, not {type(function).__name__} {function!r}. "
            "Put it above a def at the top level of a module."
        )
    name = function.__qualname__
    path = f"{function.__module__}.{name}"
    if name == "<lambda>" or "<locals>" in name:
        kind = "a lambda" if name.endswith("<lambda>") else "inside another function"
        raise DefinitionError(
            f"{path} is {kind}, where no worker could find it by name. Move it to "
            "the top level of its module. (Is it what another decorator made? Then "
            "that decorator lacks functools.wraps.)"
        )
    if "." in name:
        raise DefinitionError(
            f"{path} is a method. A job cannot carry its object: move it to the top "
            "level of its module and pass what it needs as arguments."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(
            f"{path} is a generator; calling it would run nothing. Take the yield "
            "out, or put @job on a function that consumes it."
        )
    return f"{_module_of(function)}.{name}"


def _module_of(function: Callable[..., Any]) -> str:
    if function.__module__ != "__main__":
        return function.__module__
    # python -m shop.jobs runs that module under another name; python -m shop runs
    # shop.__main__, and to import that would run the program.
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and str(spec.name).rpartition(".")[2] != "__main__":
        return str(spec.name)
    raise DefinitionError(
        f"{function.__qualname__} is defined in a script or a shell (__main__), which "
        "no worker can import. Move it to a module, such as jobs.py of an app."
    )


def _queue(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("the name of a queue is a str.")
    return value


def _timeout(value: Any) -> float | None:
    if value is None:
        return None
    seconds = parse_duration(value)
    if seconds == 0:
        raise ValueError("above 0; None for no limit.")
    return seconds


def _expires(value: Any) -> float | None:
    if value is None:
        return None
    seconds = parse_duration(value)
    if seconds == 0:
        raise ValueError("above 0: the job would expire before it could start.")
    return seconds


def _callback(value: Any) -> str:
    if isinstance(value, str):
        parts = value.split(".")
        if len(parts) < 2 or not all(map(str.isidentifier, parts)):
            raise ValueError('a dotted path is like "shop.jobs.paid".')
        return value
    origin = getattr(value, "_origin", value)
    if type(origin) is not type(value) and hasattr(origin, "path"):
        # functools.wraps() has copied what it found.
        raise ValueError(f"{origin.path} {DECORATED}")
    if origin is not value:
        raise ValueError(
            "a callback has the options of its @job; those of using() go no further "
            "than the jobs of that copy."
        )
    # A job function knows its own path.
    name = getattr(value, "path", None)
    return name if isinstance(name, str) else function_path(value)


def _on_missing(value: Any) -> str:
    if value not in ("fail", "discard"):
        raise ValueError("choose 'fail' or 'discard'.")
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("choose True or False.")
    return value


def _priority(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a priority is an int.")
    if not LOWEST_PRIORITY <= value <= HIGHEST_PRIORITY:
        raise ValueError(f"from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}.")
    return int(value)


def _using_db(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("an alias of DATABASES is a str.")
    return value


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "queue": _queue,
    "timeout": _timeout,
    "retry": Retry.of,
    "result_ttl": parse_duration,
    "on_success": _callback,
    "on_failure": _callback,
    "on_missing": _on_missing,
    "atomic": _flag,
    "settle_each": _flag,
    "priority": _priority,
    "run_after": read_run_after,
    "expires": _expires,
    "on_commit": lambda value: None if value is None else _flag(value),
    "using_db": _using_db,
}

JOB_OPTIONS: Final = frozenset({"queue", *JobArguments.__annotations__})
CALL_OPTIONS: Final = frozenset(CallArguments.__annotations__)


def to_ms(seconds: float) -> int:
    """Whole milliseconds, never 0 for what is above 0."""
    return math.ceil(seconds * 1000)


def epoch_ms(when: datetime) -> int:
    """Milliseconds since the epoch, exact: a float would lose them in far years."""
    return (when - _EPOCH) // timedelta(milliseconds=1)


_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
