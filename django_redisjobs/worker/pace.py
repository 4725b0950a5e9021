"""How many jobs to claim at once: about ten milliseconds of work."""

from __future__ import annotations

from math import inf
from typing import Final

BATCH_SECONDS: Final = 0.010
LARGEST_BATCH: Final = 64
SOON_SECONDS: Final = BATCH_SECONDS / 2
"""A job is claimed this long before an executor is expected to be free, together with
those for all who are free within a batch's time. Who is this late is not expected any more."""


class Pace:
    """Learns what a job costs. One claim at a time until it knows."""

    __slots__ = ("_cost", "_knows")

    def __init__(self) -> None:
        self._cost = BATCH_SECONDS
        self._knows = False

    def learn(self, seconds: float, jobs: int) -> None:
        """``jobs`` took ``seconds`` in all. Half of what it knows is always new."""
        if jobs:
            self._cost = (self._cost + seconds / jobs) / 2
            self._knows = True

    def slow(self) -> None:
        """A single job took longer than a whole batch should."""
        self._cost = max(self._cost, BATCH_SECONDS)

    @property
    def runs_ahead(self) -> bool:
        """So fast that the next claim is best made while the last is worked off."""
        return 2 * self._cost * LARGEST_BATCH <= BATCH_SECONDS

    @property
    def batch(self) -> int:
        """Jobs to claim for one executor."""
        if self._cost * LARGEST_BATCH <= BATCH_SECONDS:
            return LARGEST_BATCH
        return max(1, int(BATCH_SECONDS / self._cost))

    def ends_at(self, started: float) -> float:
        """When a job that began then (monotonic) is likely to end."""
        return started + self._cost if self._knows else inf
