"""What happened to every single job, and whether kills explain all of it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

UNSETTLED_S = 0.25
"""How long before a kill a job may have ended and yet run again: about 10 ms of
finished work wait for their settling, the rest is for a busy machine."""


@dataclass(frozen=True, slots=True)
class Kill:
    """When a process was killed: some time between these two."""

    before: float
    after: float


@dataclass(slots=True)
class Run:
    """One start of a job, and its end if it came to that. Times are monotonic seconds."""

    pid: int
    number: int
    started: float
    ended: float | None = None


@dataclass(slots=True)
class History:
    """Runs of each job, and when each process was killed."""

    runs: dict[int, list[Run]] = field(default_factory=lambda: defaultdict(list))
    kills: dict[int, Kill] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, kills: dict[int, Kill]) -> History:
        history = cls(kills=kills)
        for line in path.read_text().splitlines():
            kind, number, pid, when, run = line.split()
            runs = history.runs[int(number)]
            if kind == "start":
                runs.append(Run(int(pid), int(run), float(when)))
                continue
            for candidate in reversed(runs):
                if candidate.pid == int(pid) and candidate.number == int(run):
                    candidate.ended = float(when)
                    break
        return history

    @property
    def reruns(self) -> int:
        return sum(len(runs) - 1 for runs in self.runs.values())

    def unexplained(self, numbers: range) -> list[str]:
        """What no kill explains; empty when all is well."""
        complaints = []
        for number in numbers:
            runs = sorted(self.runs.get(number, []), key=lambda run: run.started)
            if not any(run.ended is not None for run in runs):
                complaints.append(f"job {number} never ended: lost ({runs})")
            for run, following in itertools.pairwise(runs):
                reason = self._why_again(run, following)
                if reason:
                    complaints.append(f"job {number} ran again: {reason}")
        return complaints

    def _why_again(self, run: Run, following: Run) -> str:
        killed = self.kills.get(run.pid)
        if killed is None:
            return f"process {run.pid} was not killed ({run} {following})"
        if killed.after < run.started:
            return f"it started after the kill of its process ({run})"
        if following.started < killed.before:
            return f"two runs overlap ({run} {following} killed {killed})"
        if following.number <= run.number:
            return f"the run number did not rise ({run} {following})"
        if run.ended is not None and killed.before - run.ended > UNSETTLED_S:
            return f"it had ended {killed.before - run.ended:.3f} s before the kill"
        return ""
