"""What happened to every single job, and whether the faults explain all of it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

UNSETTLED_S = 2.0
"""How long before a fault a job may have ended and yet run again: about 10 ms of
finished work wait for their settling, the rest is for a busy machine."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What befell a process, some time between these two moments.

    ``cut``: it lived on, but Redis did not hear of it for longer than its lease. So its
    jobs may run elsewhere before they end here; otherwise two runs never overlap.
    ``forgets``: Redis came back without the last that it was told. So a run that it does
    not know of any more may have been followed by one of the same number.
    """

    before: float
    after: float
    cut: bool = False
    forgets: bool = False


@dataclass(slots=True)
class Run:
    """One start of a job, and its end if it came to that. Times are monotonic seconds."""

    pid: int
    number: int
    started: float
    ended: float | None = None


@dataclass(slots=True)
class History:
    """Runs of each job, and what befell each process."""

    runs: dict[int, list[Run]] = field(default_factory=lambda: defaultdict(list))
    faults: dict[int, list[Fault]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def read(cls, path: Path, faults: dict[int, list[Fault]]) -> History:
        history = cls(faults=faults)
        for line in path.read_text().splitlines():
            kind, number, pid, when, run = line.split()
            if kind == "start":
                history.start(int(number), int(pid), float(when), int(run))
            else:
                history.end(int(number), int(pid), float(when), int(run))
        return history

    def start(self, number: int, pid: int, when: float, run: int) -> None:
        self.runs[number].append(Run(pid, run, when))

    def end(self, number: int, pid: int, when: float, run: int) -> None:
        for candidate in reversed(self.runs[number]):
            if candidate.pid == pid and candidate.number == run:
                candidate.ended = when
                return

    def runs_of(self, number: int) -> list[Run]:
        """In the order of their start."""
        return sorted(self.runs.get(number, []), key=lambda run: run.started)

    @property
    def reruns(self) -> int:
        return sum(len(runs) - 1 for runs in self.runs.values())

    def recovery(self) -> float:
        """Seconds from a fault to the start of the latest rerun that it caused."""
        waits = [
            following.started - fault.before
            for number in self.runs
            for run, following in itertools.pairwise(self.runs_of(number))
            for fault in self.faults.get(run.pid, ())
            if self._objection(fault, run, following) == ""
        ]
        return max(waits, default=0.0)

    def silence(self) -> float:
        """The longest time, in seconds, in which no job began or ended."""
        moments = sorted(
            moment
            for runs in self.runs.values()
            for run in runs
            for moment in (run.started, run.ended)
            if moment is not None
        )
        pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
        return max(pauses, default=0.0)

    def unexplained(self, numbers: Iterable[int]) -> list[str]:
        """What no fault explains; empty when all is well."""
        complaints = []
        for number in numbers:
            runs = self.runs_of(number)
            if not any(run.ended is not None for run in runs):
                complaints.append(f"job {number} never ended: lost ({runs})")
            for run, following in itertools.pairwise(runs):
                reason = self._why_again(run, following)
                if reason:
                    complaints.append(f"job {number} ran again: {reason}")
        return complaints

    def _why_again(self, run: Run, following: Run) -> str:
        faults = self.faults.get(run.pid, ())
        objections = {fault: self._objection(fault, run, following) for fault in faults}
        reasons = [fault for fault, why_not in objections.items() if not why_not]
        if following.number <= run.number and not any(
            fault.forgets for fault in reasons
        ):
            return f"the run number did not rise ({run} {following})"
        if not objections:
            return f"nothing befell process {run.pid} ({run} {following})"
        return "" if reasons else objections[faults[-1]]

    @staticmethod
    def _objection(fault: Fault, run: Run, following: Run) -> str:
        """Why this fault does not explain the second run; '' if it does."""
        if fault.after < run.started:
            return f"it started after {fault} ({run})"
        if following.started < fault.before:
            return f"two runs overlap ({run} {following} {fault})"
        if run.ended is not None and fault.before - run.ended > UNSETTLED_S:
            return f"it had ended {fault.before - run.ended:.3f} s before {fault}"
        if run.ended is not None and run.ended > following.started and not fault.cut:
            return f"two runs overlap ({run} {following} {fault})"
        return ""
