"""How a worker is, read from the memory that its processes share.

Whoever looks here asks neither the supervisor nor Redis, so that no look can hold
them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from .memory import REDIS_AT, STEPPED, STOPPING, TURNED, Board

# A supervisor goes round twice a second, an idle process and the liaison hear from
# Redis every fifteen seconds. What is older than that by far is not so any more.
STALE_SECONDS: Final = 25.0


@dataclass(frozen=True, slots=True)
class Report:
    """``alive``: the supervisor does its rounds. ``redis``: Redis answers it.
    ``consuming``: at least one process runs jobs or has just asked Redis for some.
    ``stopping``: it was asked to end, and takes no more jobs.
    """

    alive: bool
    redis: bool
    consuming: bool
    stopping: bool
    worker: str
    queues: tuple[str, ...]
    processes: int
    processes_consuming: int

    @property
    def ready(self) -> bool:
        return self.alive and self.redis and self.consuming

    def as_json(self) -> dict[str, Any]:
        return {
            "alive": self.alive,
            "ready": self.ready,
            "consuming": self.consuming,
            "redis": self.redis,
            "stopping": self.stopping,
            "worker": self.worker,
            "queues": self.queues,
            "processes": {
                "expected": self.processes,
                "consuming": self.processes_consuming,
            },
        }


class Health:
    """``worker`` and ``queues``: of whom the reports are, for people."""

    def __init__(
        self,
        boards: Sequence[Board],
        common: memoryview[float],
        worker: str,
        queues: Sequence[str],
    ) -> None:
        self._boards = boards
        self._common = common
        self._worker = worker
        self._queues = queues

    def report(self, now: float) -> Report:
        """``now``: monotonic time."""
        redis = now - self._common[REDIS_AT] < STALE_SECONDS
        stopping = self._common[STOPPING] > 0
        consuming = sum(_consumes(board, now) for board in self._boards)
        return Report(
            alive=now - self._common[TURNED] < STALE_SECONDS,
            redis=redis,
            consuming=redis and consuming > 0 and not stopping,
            stopping=stopping,
            worker=self._worker,
            queues=tuple(self._queues),
            processes=len(self._boards),
            processes_consuming=consuming if redis and not stopping else 0,
        )


def _consumes(board: Board, now: float) -> bool:
    """Whether a process has just got an answer to a claim, or runs what it claimed."""
    if not board.registered:
        return False
    if now - board.cells[STEPPED] < STALE_SECONDS:
        return True
    return any(now < one.hard for one in board.running())
