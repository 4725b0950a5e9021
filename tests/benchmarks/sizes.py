"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

Figures = dict[str, float]


@dataclass(frozen=True)
class Sizes:
    """``scale`` multiplies numbers of jobs. ``depth``: the pending jobs of the deep
    measure. ``idle_seconds``: for how long an idle worker is watched.
    """

    scale: float
    depth: int
    idle_seconds: float

    def of(self, jobs: int) -> int:
        return max(100, int(jobs * self.scale))
