"""Lengths of time that people look back over, and the counters that cover them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


class Period(StrEnum):
    """The last hour in minutes, the last day and week in hours."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"

    @property
    def bucket(self) -> str:
        """Which counters: ``minute`` or ``hour``."""
        return "minute" if self is Period.HOUR else "hour"

    @property
    def bucket_ms(self) -> int:
        """How long one of them counts."""
        return MINUTE_MS if self is Period.HOUR else HOUR_MS

    @property
    def length(self) -> int:
        """How many of them there are, the present one included."""
        return {Period.HOUR: 60, Period.DAY: 24, Period.WEEK: 168}[self]

    def numbers(self, now_ms: int) -> range:
        """The counters since the epoch that are meant, oldest first."""
        last = now_ms // self.bucket_ms
        return range(last - self.length + 1, last + 1)

    def since_ms(self, now_ms: int) -> int:
        """When the oldest of them began."""
        return self.numbers(now_ms)[0] * self.bucket_ms


def period_of(text: str) -> Period:
    """The period of that name; the last hour for any other."""
    return Period(text) if text in list(Period) else Period.HOUR
