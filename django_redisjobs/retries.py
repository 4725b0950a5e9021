"""When a failed attempt is followed by another one. Pure: no clock, no Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any, TypeAlias, cast

from django_redisjobs.core.exceptions import PayloadMalformed
from django_redisjobs.durations import Duration, parse_duration

ExceptionClasses: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]

# Exception classes belong to the code, not to a job's envelope.
_CARRIED = ("max", "backoff", "base", "cap", "jitter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, when and for which exceptions a job runs again.

    ``max`` counts retries: a job runs at most ``1 + max`` times. The n-th retry
    waits ``min(cap, base * 2 ** (n - 1))`` (``backoff="constant"``: ``base``);
    ``jitter`` draws evenly from half to all of that. ``on`` lists what is
    retried, ``give_up_on`` what is not though it is in ``on``. ``base`` and
    ``cap`` take any duration and are kept as seconds.

    Raises:
        ValueError: a number, a duration or a word is out of range.
        TypeError: a value is of a wrong type.
    """

    max: int = 3
    backoff: str = "exponential"
    base: Duration = 2
    cap: Duration = 600
    jitter: bool = True
    on: ExceptionClasses = (Exception,)
    give_up_on: ExceptionClasses = ()

    def __post_init__(self) -> None:
        if isinstance(self.max, bool) or not isinstance(self.max, int):
            raise TypeError(f"Retry(max={self.max!r}): max is a number of retries.")
        if self.max < 0:
            raise ValueError(f"Retry(max={self.max}): 0 means no retry; below is none.")
        if self.backoff not in ("exponential", "constant"):
            raise ValueError(
                f"Retry(backoff={self.backoff!r}): choose 'exponential' or 'constant'."
            )
        if not isinstance(self.jitter, bool):
            raise TypeError(f"Retry(jitter={self.jitter!r}): choose True or False.")
        for name in ("base", "cap"):
            self._normalize(name, _seconds(name, getattr(self, name)))
        for name in ("on", "give_up_on"):
            self._normalize(name, _classes(name, getattr(self, name)))

    def _normalize(self, name: str, value: object) -> None:
        # So that Retry(base="2s") == Retry(base=2): the dataclass is frozen.
        object.__setattr__(self, name, value)

    @classmethod
    def of(cls, value: Retry | int | None) -> Retry:
        """The policy that ``value`` means: a number of retries, or None for none."""
        if isinstance(value, Retry):
            return value
        if isinstance(value, bool) or not isinstance(value, int | None):
            raise TypeError(
                f"{value!r} is not a retry policy. Give a number of retries, "
                f"Retry(...), or None for no retry."
            )
        return cls(max=value or 0)

    def allows(self, exception: BaseException, retries_made: int) -> bool:
        """Whether a job that ended with ``exception`` may run once more."""
        return (
            retries_made < self.max
            and isinstance(exception, self.on)
            and not isinstance(exception, self.give_up_on)
        )

    def delay_seconds(self, n: int, rng: Random) -> float:
        """How long the n-th retry (from 1) waits after the attempt before it."""
        base, cap = cast("float", self.base), cast("float", self.cap)
        if self.backoff == "exponential":
            # 2.0 ** 1024 overflows; by then any cap was reached long ago.
            base *= 2.0 ** min(n - 1, 1000)
        delay = min(cap, base)
        return delay * (0.5 + rng.random() / 2) if self.jitter else delay

    def to_json(self) -> dict[str, int | float | str | bool]:
        """What differs from the defaults, without the exception classes."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name in _CARRIED and getattr(self, field.name) != field.default
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], like: Retry | None = None) -> Retry:
        """The policy that ``to_json`` gave, with the exception classes of ``like``.

        Raises:
            PayloadMalformed: ``value`` is nothing that ``to_json`` writes.
        """
        try:
            unknown = sorted(set(value) - set(_CARRIED))
            if unknown:
                raise ValueError(f"unknown {', '.join(unknown)}")
            policy = cls(**value)
        except (TypeError, ValueError) as error:
            raise PayloadMalformed(
                f"{value!r} is not a retry policy that this build knows: {error}"
            ) from error
        if like is None:
            return policy
        return replace(policy, on=like.on, give_up_on=like.give_up_on)


def _seconds(name: str, value: Duration) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"Retry({name}={value!r}): {error}") from error


def _classes(name: str, value: object) -> tuple[type[BaseException], ...]:
    classes = value if isinstance(value, tuple) else (value,)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise TypeError(
                f"Retry({name}={value!r}): {each!r} is not an exception class. "
                f"Give a class or a tuple of classes."
            )
    return cast("tuple[type[BaseException], ...]", classes)
