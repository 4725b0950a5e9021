"""What happened to a job, when, and what comes next: as the page of the job tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_redisjobs.admin.formats import (
    NOTHING,
    badge,
    duration,
    shortened,
    status_name,
    when,
)
from django_redisjobs.admin.sources import moment
from django_redisjobs.admin.traces import Frame, frames
from django_redisjobs.core.records import (
    ENDED,
    AttemptRecord,
    JobRecord,
    JobStatus,
    LogLine,
)
from django_redisjobs.snapshots import date_of

RUNS_SHOWN: Final = 6
"""Runs that the timeline shows; the list below it has all that are kept."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to the job, or will. ``tone`` is a status."""

    title: Any
    tone: str
    at: SafeString | str
    note: Any = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line that the job logged."""

    at: SafeString | str
    level: str
    logger: str
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run that ended."""

    record: AttemptRecord
    outcome: SafeString
    started: SafeString | str
    finished: SafeString | str
    waited: str
    took: str
    traceback: Sequence[Frame]
    logs: Sequence[Line]
    is_last: bool

    @property
    def is_open(self) -> bool:
        """Whether its details are shown at once."""
        return self.is_last and bool(self.traceback or self.logs)


class Timeline:
    """The times of one job. ``due_ms``: when it is due next, 0 for one that is not
    scheduled. ``shown`` gives its texts as people may see them.
    """

    def __init__(
        self, record: JobRecord, due_ms: int, shown: Callable[[str], str]
    ) -> None:
        self._record = record
        self._due_ms = due_ms
        self._shown = shown

    def steps(self) -> Iterator[Step]:
        """What happened to it and what comes next, in order."""
        record = self._record
        yield Step(_("Enqueued"), "pending", when(moment(record.enqueued_ms)))
        runs = record.attempts
        is_due = record.status is not JobStatus.SCHEDULED
        if is_due and record.due_ms > record.enqueued_ms and not runs:
            yield Step(_("Due"), "scheduled", when(moment(record.due_ms)))
        older = len(runs) - RUNS_SHOWN
        if older > 0:
            text = ngettext("%d earlier run", "%d earlier runs", older) % older
            yield Step(text, "pending", NOTHING)
        waits = self._waits
        for place, run in enumerate(runs):
            if place < older:
                continue
            yield Step(
                _("Run %d") % run.run,
                run.outcome,
                when(moment(run.started_ms)),
                _run_note(waits[place], _span(run.started_ms, run.finished_ms)),
            )
        yield self._present()

    @cached_property
    def attempts(self) -> list[Attempt]:
        """The runs that ended, the newest first."""
        last = len(self._record.attempts) - 1
        return [
            self._attempt(record, self._waits[place], is_last=place == last)
            for place, record in enumerate(self._record.attempts)
        ][::-1]

    @property
    def waited(self) -> str:
        """How long it waited for its newest run."""
        return _span(self._ready_ms, self._record.started_ms) or NOTHING

    @property
    def runs_for(self) -> str:
        """For how long its newest run goes on by now."""
        started_ms = self._record.started_ms
        if not started_ms:
            return NOTHING
        ran = datetime.now(UTC) - date_of(started_ms)
        return duration(max(0, ran.total_seconds()))

    def _present(self) -> Step:
        """Where it stands now, or how it ended."""
        record, status = self._record, self._record.status
        title = capfirst(status_name(status))
        if status in ENDED:
            whole = _span(record.enqueued_ms, record.finished_ms)
            note = _("after %s altogether") % whole if whole else ""
            return Step(title, status.value, when(moment(record.finished_ms)), note)
        if status is JobStatus.RUNNING:
            return Step(
                _("Run %d") % record.run,
                status.value,
                when(moment(record.started_ms)),
                _("waited %(waited)s, runs for %(ran)s")
                % {"waited": self.waited, "ran": self.runs_for},
            )
        if status is JobStatus.SCHEDULED and self._due_ms:
            at = when(moment(self._due_ms))
            name = _("Next run") if record.attempts else _("Due")
            return Step(name, status.value, at, self._time_left())
        return Step(title, status.value, when(moment(self._ready_ms)))

    def _time_left(self) -> str:
        left = (date_of(self._due_ms) - datetime.now(UTC)).total_seconds()
        return _("in %s") % duration(left) if left > 0 else _("any moment")

    def _attempt(self, record: AttemptRecord, waited: str, *, is_last: bool) -> Attempt:
        return Attempt(
            record=replace(record, message=shortened(self._shown(record.message))),
            outcome=badge(record.outcome),
            started=when(moment(record.started_ms)),
            finished=when(moment(record.finished_ms)),
            waited=waited or NOTHING,
            took=_span(record.started_ms, record.finished_ms) or NOTHING,
            traceback=frames(shortened(self._shown(record.traceback))),
            logs=[self._line(line) for line in record.logs],
            is_last=is_last,
        )

    def _line(self, line: LogLine) -> Line:
        at_ms, level, logger, text = line
        return Line(when(moment(at_ms)), level, logger, self._shown(text))

    @cached_property
    def _waits(self) -> list[str]:
        """How long each ended run had to wait: since it was ready, or since the run
        before it ended.
        """
        found, ready = [], self._first_ready_ms
        for record in self._record.attempts:
            found.append(_span(ready, record.started_ms))
            ready = record.finished_ms
        return found

    @property
    def _first_ready_ms(self) -> int:
        record = self._record
        first = record.attempts[0].started_ms if record.attempts else 0
        # Who had it run again later made that the time at which it is due.
        if first and record.due_ms > first:
            return record.enqueued_ms
        return max(record.enqueued_ms, record.due_ms)

    @property
    def _ready_ms(self) -> int:
        """Since when it waited for its newest run."""
        record = self._record
        if record.ready_ms:
            return record.ready_ms
        # Of one that has ended nothing says it.
        earlier = [run.finished_ms for run in record.attempts if run.run != record.run]
        return max(record.enqueued_ms, record.due_ms, *earlier[-1:])


def _span(start_ms: int, end_ms: int) -> str:
    """How long that was; "" where one of them is unknown."""
    if not start_ms or not end_ms:
        return ""
    return duration(max(0, end_ms - start_ms) / 1000)


def _run_note(waited: str, ran: str) -> str:
    if not waited:
        return _("ran %s") % ran if ran else ""
    return _("waited %(waited)s, ran %(ran)s") % {"waited": waited, "ran": ran}
