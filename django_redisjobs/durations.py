"""Lengths of time as people write them: 90, 1.5, "90s", "5m", timedelta."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TypeAlias

Duration: TypeAlias = int | float | str | timedelta

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?\s*", re.ASCII)
_CHOICES = 'seconds, a timedelta, or text like "90s", "5m", "1h", "7d"'
# Redis keeps times as whole milliseconds in doubles; this is far inside that,
# and longer than anybody means.
_LONGEST = 1000 * 365 * 86_400


def parse_duration(value: Duration) -> float:
    """The seconds that ``value`` means.

    Raises:
        ValueError: it is not a duration, negative, not a number, or absurd.
    """
    seconds = _seconds(value)
    if not 0 <= seconds <= _LONGEST:
        raise ValueError(
            f"{value!r} is not a usable duration: it has to be at least 0 seconds "
            f"and at most 1000 years."
        )
    return seconds


def _seconds(value: object) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str) and (match := _TEXT.fullmatch(value)):
        return float(match[1]) * _SECONDS[match[2] or "s"]
    # True is an int, but nobody means one second by it.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is not a duration. Give {_CHOICES}.")
