"""The order of a shutdown. Pure: it is told the time and what happened.

First children are asked to be quiet: to finish what runs. When their grace is
over, running jobs are interrupted; what ignores that is killed.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import Final

# A terminal and a process manager often send the same Ctrl-C twice.
SAME_REQUEST_SECONDS: Final = 1.0
INTERRUPT_SECONDS: Final = 2.0


class Step(Enum):
    """What to do to the children next."""

    QUIET = auto()
    INTERRUPT = auto()
    KILL = auto()


class Shutdown:
    """``grace``: seconds between being quiet and being interrupted."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._asked_at = inf
        self._deadline = inf
        self._due: list[Step] = []
        self._done: set[Step] = set()

    @property
    def begun(self) -> bool:
        return self._asked_at < inf

    def ask(self, now: float, *, patient: bool = False) -> None:
        """Somebody asks for the end. The second time that is the end of patience: what
        runs is interrupted at once. The third time nothing is waited for.

        ``patient``: let running jobs finish however long they take.
        """
        if not self.begun:
            self._asked_at = now
            self._deadline = inf if patient else now + self._grace
            self._due.append(Step.QUIET)
        elif self._deadline == inf and not patient:
            self._asked_at, self._deadline = now, now + self._grace
        elif not patient and now - self._asked_at > SAME_REQUEST_SECONDS:
            self._asked_at = self._deadline = now

    def steps(self, now: float) -> list[Step]:
        """What has become due by ``now``, each once."""
        if now >= self._deadline:
            if Step.INTERRUPT in self._done:
                self._due.append(Step.KILL)
            else:
                self._due.append(Step.INTERRUPT)
                self._deadline = now + INTERRUPT_SECONDS
        due = [step for step in self._due if step not in self._done]
        self._due = []
        self._done.update(due)
        if Step.KILL in self._done:
            self._deadline = inf
        return due

    @property
    def next_at(self) -> float:
        """When ``steps`` will have something new to say; inf for never."""
        return self._deadline
