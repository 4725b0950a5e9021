"""The overview as its template shows it: numbers, links, charts, and what is amiss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2s
from itertools import chain
from typing import Any, Final

from django.utils import formats, timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_redisjobs import conf, connections
from django_redisjobs.admin import charts
from django_redisjobs.admin.formats import (
    NOTHING,
    duration,
    number,
    number_text,
    status_name,
    when,
)
from django_redisjobs.admin.jobsource import LONGEST
from django_redisjobs.admin.links import Links
from django_redisjobs.admin.sources import moment
from django_redisjobs.admin.staff import WorkerView
from django_redisjobs.admin.timings import (
    NAMES,
    TimingChart,
    columns,
    timing_charts,
    words,
)
from django_redisjobs.calls import ask
from django_redisjobs.core import lookup
from django_redisjobs.core.failures import FailureRecord
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import (
    JobStatus,
    LostWorker,
    QueueCounts,
    WorkerRecord,
)
from django_redisjobs.core.scripts import together
from django_redisjobs.models import Job, Queue, Worker
from django_redisjobs.monitoring.periods import DAY_MS, Period
from django_redisjobs.monitoring.reading import Overview, QueueView, shown_messages
from django_redisjobs.monitoring.tallies import Tally
from django_redisjobs.snapshots import date_of

FUNCTIONS_SHOWN: Final = 10
GROUPS_SHOWN: Final = 20
LOST_MS: Final = DAY_MS
"""How far back workers count as lost lately."""
LOST_SHOWN: Final = 3
TICKS: Final = 4
"""Parts of the time axis that have a label."""

Jobs = Callable[..., str]
"""Gives the address of the list of jobs with these filters; "" for who may not see it."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One number of the summary."""

    name: str
    value: Any
    note: str
    link: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know."""

    text: str
    tone: str = "warning"


@dataclass(frozen=True, slots=True)
class TimePoint:
    """One bar, its words, and its row in the table."""

    bar: charts.Bar
    label: str
    text: str
    tally: Tally
    timings: list[str]


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment on the time axis."""

    x: str
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Failures of one function for one reason."""

    function: str
    reason: str
    message: str
    number: int
    first: Any
    last: Any
    queues: str
    link: str
    query: str

    @property
    def key(self) -> str:
        """What tells its row from those of other groups, as part of an HTML id."""
        text = f"{self.function}\n{self.reason}".encode(errors="replace")
        return blake2s(text, digest_size=8).hexdigest()


class QueueRow:
    """One queue."""

    def __init__(self, view: QueueView, minutes: Sequence[Tally], jobs: Jobs) -> None:
        self.counts = view.counts
        self.name = view.counts.queue
        self.paused = view.counts.paused
        self._view = view
        self._minutes = minutes
        self._jobs = jobs

    def cells(self) -> Iterator[tuple[str, Any, str, str]]:
        """(status, number, its words, the address of those jobs)."""
        for status in SHOWN:
            value = getattr(self.counts, status.value)
            link = self._jobs(queue=self.name, status=status) if value else ""
            yield status.value, number(value), status_name(status), link

    @property
    def is_configured(self) -> bool:
        """Whether the settings have the queue."""
        return self.name in conf.get_settings().queues

    @property
    def link(self) -> str:
        """All jobs of the queue."""
        return self._jobs(queue=self.name)

    @property
    def oldest(self) -> str:
        """How long the job at its head waits."""
        return duration(self._view.oldest_seconds) if self.counts.pending else NOTHING

    @property
    def per_minute(self) -> Any:
        """Jobs that ended in the last sixty seconds."""
        return number(round(self._view.per_minute))

    def timings(self) -> list[tuple[str, str]]:
        """(name, value) of what tells how long jobs took in the last hour."""
        waited, ran = words(self._view.timings.wait), words(self._view.timings.run)
        return [
            (_("wait p50"), waited[0]),
            (_("wait p95"), waited[1]),
            (_("run p95"), ran[1]),
        ]

    @property
    def parked(self) -> Any:
        """Jobs whose function no worker knows."""
        return number(self.counts.parked)

    @property
    def parked_link(self) -> str:
        return self._jobs(queue=self.name, status=JobStatus.PARKED)

    @cached_property
    def spark(self) -> charts.Curve:
        """What ended in each of the last sixty minutes."""
        return charts.curve([tally.ended for tally in self._minutes], self._top)

    @cached_property
    def spark_failures(self) -> list[charts.Bar]:
        """What failed in them."""
        pairs = [(0, tally.failed) for tally in self._minutes]
        return [bar for bar in charts.bars(pairs, self._top) if bar.failed]

    @cached_property
    def _top(self) -> float:
        return max(1, *(tally.ended for tally in self._minutes))

    @property
    def spark_text(self) -> str:
        """The same in words."""
        total = Tally.total(self._minutes)
        return _("%(ended)s ended in the last hour, %(failed)s of them failed") % {
            "ended": number_text(total.ended),
            "failed": number_text(total.failed),
        }

    @property
    def paused_until(self) -> Any:
        """When it goes on by itself; None when it does not."""
        if self.paused is None or not self.paused.until_ms:
            return None
        return when(moment(self.paused.until_ms))

    @property
    def paused_since(self) -> Any:
        return when(moment(self.paused.since_ms)) if self.paused else None


SHOWN: Final = (
    JobStatus.PENDING,
    JobStatus.RUNNING,
    JobStatus.SCHEDULED,
    JobStatus.FAILED,
)


class OverviewPage:
    """What the template of the overview shows."""

    def __init__(self, overview: Overview, jobs: Jobs, links: Links) -> None:
        self.snapshot = overview.snapshot
        self.history = overview.history
        self.lost = [
            (when(moment(one.at_ms)), one)
            for one in links.visible(Worker, overview.lost)
            if one.at_ms > overview.snapshot.now_ms - LOST_MS
        ]
        self.failures = overview.failures
        self._jobs = jobs
        self._links = links

    @property
    def lost_shown(self) -> list[tuple[Any, LostWorker]]:
        """The newest of the workers that were lost."""
        return self.lost[:LOST_SHOWN]

    @property
    def server(self) -> str:
        """Where Redis is, without passwords."""
        return connections.describe()

    @property
    def asked_at(self) -> Any:
        """The moment of all this, in the server's time."""
        return when(moment(self.snapshot.now_ms))

    @cached_property
    def queues(self) -> list[QueueRow]:
        """The queues, in the order of the settings, and others that hold something."""
        counts = [view.counts for view in self.snapshot.queues]
        visible = {each.queue for each in self._links.visible(Queue, counts)}
        return [
            QueueRow(view, self.history.minutes[view.counts.queue], self._jobs)
            for view in self.snapshot.queues
            if view.counts.queue in visible and _is_used(view.counts)
        ]

    # -- the summary -----------------------------------------------------------------

    def tiles(self) -> list[Tile]:
        """The summary."""
        oldest = max((view.oldest_seconds for view in self.snapshot.queues), default=0)
        alive = self.snapshot.alive
        busy = sum(bool(worker.held) for worker in alive)
        failed = self.total.failed
        return [
            self._tile(
                JobStatus.RUNNING,
                _("%(busy)s of %(alive)s processes busy")
                % {"busy": number_text(busy), "alive": number_text(len(alive))},
            ),
            self._tile(
                JobStatus.PENDING,
                _("oldest waits %s") % duration(oldest) if oldest else _("none waits"),
            ),
            self._tile(JobStatus.SCHEDULED, _("for later, or for a retry")),
            self._tile(
                JobStatus.FAILED,
                _("%(number)s in %(period)s")
                % {"number": number_text(failed), "period": self.period_words},
            ),
            Tile(
                _("a minute"),
                number(round(sum(view.per_minute for view in self.snapshot.queues))),
                _("jobs that ended"),
            ),
            self._workers_tile(),
        ]

    def _tile(self, status: JobStatus, note: str) -> Tile:
        total = sum(getattr(view.counts, status.value) for view in self.snapshot.queues)
        tone = status.value if total else ""
        link = self._jobs(status=status) if total else ""
        return Tile(status_name(status), number(total), note, link, tone)

    def _workers_tile(self) -> Tile:
        alive, silent = len(self.snapshot.alive), len(self.snapshot.silent)
        note = _("nothing runs")
        if silent:
            note = ngettext("%d silent", "%d silent", silent) % silent
        elif alive:
            note = ngettext("%d process", "%d processes", alive) % alive
        tone = "failed" if silent or not alive else "succeeded"
        workers = len({one.name for one in self.snapshot.alive})
        return Tile(_("workers"), number(workers), note, tone=tone)

    def notices(self) -> Iterator[Notice]:
        """What keeps jobs from running."""
        alive = self.snapshot.alive
        served = {name for one in alive for name in one.queues}
        waiting = [row.name for row in self.queues if row.counts.pending]
        if waiting and not alive:
            yield Notice(
                _("Jobs wait and no worker is alive: start one with runworker."),
                "error",
            )
        elif unserved := [name for name in waiting if name not in served]:
            yield Notice(
                _("Jobs wait in queues that no worker serves: %s.")
                % ", ".join(unserved),
                "error",
            )
        if silent := len(self.snapshot.silent):
            yield Notice(
                ngettext(
                    "%d worker process fell silent. What it held goes back to its queue "
                    "when its lease is over and another worker looks.",
                    "%d worker processes fell silent. What they held goes back to their "
                    "queues when their leases are over and another worker looks.",
                    silent,
                )
                % silent
            )
        if parked := sum(view.counts.parked for view in self.snapshot.queues):
            yield Notice(
                ngettext(
                    "%s job is parked: no worker of this build knows its function.",
                    "%s jobs are parked: no worker of this build knows their functions.",
                    parked,
                )
                % number_text(parked)
            )

    # -- what ended --------------------------------------------------------------------

    @property
    def period(self) -> Period:
        return self.history.period

    @property
    def period_words(self) -> str:
        """The period in a sentence."""
        return str(PERIODS[self.period])

    def periods(self) -> list[tuple[str, str, bool]]:
        """(value, its words, whether it is shown) of each that can be chosen."""
        return [
            (period.value, str(PERIOD_NAMES[period]), period is self.period)
            for period in Period
        ]

    @cached_property
    def total(self) -> Tally:
        """All that ended in the period."""
        return Tally.total(tally for _start, tally in self.history.times)

    def figures(self) -> Iterator[tuple[str, str, str]]:
        """(name, value, tone) beside the chart."""
        total = self.total
        yield _("succeeded"), number_text(total.succeeded), "succeeded"
        yield _("failed"), number_text(total.failed), "failed" if total.failed else ""
        share = formats.number_format(100 * total.failed_share, 1)
        yield _("failure rate"), f"{share} %", ""
        yield _("retried"), number_text(total.retried), ""
        yield (
            _("crashes"),
            number_text(total.crashed),
            "failed" if total.crashed else "",
        )
        yield _("cancelled"), number_text(total.cancelled), ""
        yield _("expired"), number_text(total.expired), ""

    @cached_property
    def top(self) -> float:
        """The highest value of the chart's scale."""
        return charts.rounded_up(
            max(tally.ended for _start, tally in self.history.times)
        )

    def scale(self) -> list[str]:
        """The labels of the scale, from the top."""
        return [number_text(round(self.top)), number_text(round(self.top / 2)), "0"]

    @cached_property
    def times(self) -> list[TimePoint]:
        """The bars of the chart, oldest first."""
        times = self.history.times
        bars = charts.bars([(t.succeeded, t.failed) for _start, t in times], self.top)
        return [
            TimePoint(
                bar,
                label := self._label(start_ms),
                _("%(time)s: %(succeeded)s succeeded, %(failed)s failed")
                % {
                    "time": label,
                    "succeeded": number_text(tally.succeeded),
                    "failed": number_text(tally.failed),
                },
                tally,
                columns(timings),
            )
            for bar, (start_ms, tally), timings in zip(
                bars, times, self.history.timings, strict=True
            )
        ]

    @property
    def happened(self) -> list[TimePoint]:
        """The rows of the table, newest first: those in which something ended."""
        return [point for point in reversed(self.times) if point.tally != Tally()]

    def ticks(self) -> list[str]:
        """Labels of the time axis, evenly spread."""
        starts = [start for start, _tally in self.history.times]
        step = len(starts) // TICKS
        return [
            *(self._label(starts[place * step]) for place in range(TICKS)),
            _("now"),
        ]

    def marks(self) -> list[Mark]:
        """When workers that live now were started: where a deployment shows."""
        start_ms, bucket = self.history.times[0][0], self.period.bucket_ms
        length_ms = len(self.history.times) * bucket
        found: dict[int, set[str]] = {}
        for worker in self._links.visible(Worker, self.snapshot.alive):
            began = worker.worker_started_ms
            if began >= start_ms:
                place = (began - start_ms) // bucket
                found.setdefault(place, set()).add(_described(worker))
        return [
            Mark(
                charts.position((place + 0.5) * bucket / length_ms),
                _("%(time)s: started %(workers)s")
                % {
                    "time": self._label(start_ms + place * bucket),
                    "workers": ", ".join(sorted(names)),
                },
            )
            for place, names in sorted(found.items())
        ]

    def timing_charts(self) -> list[TimingChart]:
        """How long jobs waited and ran, over the period."""
        labels = [self._label(start) for start, _tally in self.history.times]
        return timing_charts(self.history.timings, labels)

    @property
    def percentiles(self) -> tuple[str, ...]:
        """Heads of columns: of waits, then of runs."""
        return NAMES * 2

    @property
    def chart_text(self) -> str:
        """The chart in a sentence."""
        return _("%(time)s: %(succeeded)s succeeded, %(failed)s failed") % {
            "time": self.period_words,
            "succeeded": number_text(self.total.succeeded),
            "failed": number_text(self.total.failed),
        }

    @property
    def bar_words(self) -> str:
        """What one bar stands for."""
        return _("each minute") if self.period is Period.HOUR else _("each hour")

    def _label(self, start_ms: int) -> str:
        local = date_of(start_ms).astimezone(timezone.get_current_timezone())
        if self.period is Period.WEEK:
            return formats.date_format(local, "D H:i")
        return formats.date_format(local, "H:i")

    # -- functions, failures, workers ----------------------------------------------------

    def functions(self) -> list[tuple[str, str, Tally, str, str, str]]:
        """(name, module, tally, average run, total run, link) by time taken."""
        busiest = sorted(
            self.history.functions.items(), key=lambda each: -each[1].run_ms
        )
        return [
            (
                path.rpartition(".")[2],
                path.rpartition(".")[0],
                tally,
                _average(tally.run_seconds),
                duration(tally.run_ms / 1000),
                self._jobs(function=path),
            )
            for path, tally in busiest[:FUNCTIONS_SHOWN]
        ]

    def _shown_failures(self) -> Sequence[FailureRecord]:
        """The newest failures, of jobs that who asks may see."""
        newest = self.failures.newest
        if not self._links.is_limited(Job):
            return newest
        ids: dict[GroupKeys, list[str]] = {}
        for failure in newest:
            ids.setdefault(failure.keys, []).append(failure.id)
        # What a subclass limits by may be anything that lists read of their records.
        reads = [
            lookup.jobs(keys, part, brief=True, place=JobStatus.FAILED, longest=LONGEST)
            for keys, part in ids.items()
        ]
        records = chain.from_iterable(ask(together(reads)))
        visible = {record.id for record in self._links.visible(Job, records)}
        return [failure for failure in newest if failure.id in visible]

    @cached_property
    def groups(self) -> list[Group]:
        """Failures by function and reason, the most frequent first."""
        found: dict[tuple[str, str], list[FailureRecord]] = {}
        for failure in self._shown_failures():
            found.setdefault((failure.function, failure.reason), []).append(failure)
        ordered = sorted(found.items(), key=lambda each: -len(each[1]))[:GROUPS_SHOWN]
        messages = shown_messages([records[0] for _, records in ordered])
        return [
            Group(
                function,
                reason,
                message,
                len(records),
                when(moment(records[-1].failed_ms)),
                when(moment(records[0].failed_ms)),
                ", ".join(sorted({record.queue for record in records})),
                self._jobs(status=JobStatus.FAILED, function=function),
                urlencode(
                    {
                        "function": function,
                        "reason": reason,
                        "period": self.period.value,
                    }
                ),
            )
            for ((function, reason), records), message in zip(
                ordered, messages, strict=True
            )
        ]

    @property
    def looked_at(self) -> str:
        """How many failures were looked at."""
        return number_text(len(self.failures.newest))

    @property
    def failures_total(self) -> str:
        return number_text(self.failures.total)

    def workers(self) -> list[WorkerView]:
        """Silent ones first; of one name, who is silent and who is not apart."""
        found: dict[tuple[bool, str], list[WorkerRecord]] = {}
        for worker in self._links.visible(Worker, self.snapshot.workers):
            is_alive = worker.is_alive(self.snapshot.now_ms)
            found.setdefault((is_alive, worker.name), []).append(worker)
        return [
            WorkerView(name, records, self.snapshot.now_ms)
            for (_alive, name), records in sorted(found.items())
        ]


PERIOD_NAMES: Final = {
    Period.HOUR: gettext_lazy("1 hour"),
    Period.DAY: gettext_lazy("24 hours"),
    Period.WEEK: gettext_lazy("7 days"),
}
PERIODS: Final = {
    Period.HOUR: gettext_lazy("the last hour"),
    Period.DAY: gettext_lazy("the last 24 hours"),
    Period.WEEK: gettext_lazy("the last 7 days"),
}


def _is_used(counts: QueueCounts) -> bool:
    """Whether there is a use for the queue: Redis remembers those of long ago."""
    if counts.queue in conf.get_settings().queues or counts.paused:
        return True
    return any(getattr(counts, status.value) for status in JobStatus)


def _described(worker: WorkerRecord) -> str:
    return f"{worker.name} ({worker.version})" if worker.version else worker.name


def _average(seconds: float | None) -> str:
    return NOTHING if seconds is None else duration(seconds)
