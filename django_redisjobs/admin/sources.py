"""Where the rows of Queue, Job and Worker come from.

Each source asks the core for records and makes rows of them. Reads of several queues
travel together, so that a page costs a few round trips however many queues there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar

from django.conf import settings as django_settings
from django.db.models import Model
from django.utils import timezone

from django_redisjobs import conf
from django_redisjobs.admin.conditions import Values
from django_redisjobs.calls import ask, places
from django_redisjobs.core import inspection
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.payload import parse_body
from django_redisjobs.core.records import (
    JobRecord,
    JobStatus,
    QueueCounts,
    WorkerRecord,
)
from django_redisjobs.core.scripts import Conversation, together
from django_redisjobs.exceptions import PayloadMalformed
from django_redisjobs.models import Job, Queue, Worker

M = TypeVar("M", bound=Model)

LOOKED_AT: Final = 2_000
"""Jobs of several queues or statuses that one query looks at, the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a query needs of its source.

    ``as_stored``: rows ``low`` to ``high`` in the order in which they are stored,
    nothing else is asked of them.
    """

    fixed: Mapping[str, Values]
    as_stored: bool = False
    low: int = 0
    high: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Rows of a source.

    ``cut``: there are more that nobody looked at. ``window``: these are already the
    wanted rows ``low`` to ``high``, else all there are.
    """

    rows: Sequence[Model]
    cut: bool = False
    window: bool = False


class Source(Protocol):
    """Gives the rows of one model."""

    def read(self, wanted: Wanted) -> Found:
        """At least the wanted rows. Raises ServerUnavailable."""
        ...

    def count(self, fixed: Mapping[str, Values]) -> int | None:
        """How many rows have these values, if that is quicker than reading them."""
        ...


def moment(epoch_ms: int) -> datetime | None:
    """A stored time as Django shows it; 0 is none."""
    return _moment(epoch_ms) if epoch_ms else None


def _moment(epoch_ms: int) -> datetime:
    found = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return found if django_settings.USE_TZ else timezone.make_naive(found)


def loaded(row: M) -> M:
    """Mark a row as one that exists already."""
    row._state.adding = False
    row._state.db = "default"
    return row


@dataclass(frozen=True, slots=True)
class Scope:
    """The jobs of one queue in one status."""

    keys: GroupKeys
    queue: str
    status: JobStatus
    total: int

    def page(self, low: int, limit: int) -> Conversation[list[JobRecord]]:
        """Records from ``low`` on, in the order in which they are stored."""
        _, found = yield from inspection.page(
            self.keys, self.queue, self.status, low, limit
        )
        return found

    def newest(self, limit: int) -> Conversation[list[JobRecord]]:
        """The newest records. Pending jobs are stored oldest first."""
        low = self.total - limit if self.status is JobStatus.PENDING else 0
        return self.page(max(0, low), limit)


class JobSource:
    """Jobs, by id or by queue and status."""

    def read(self, wanted: Wanted) -> Found:
        if "pk" in wanted.fixed:
            return Found(rows=_by_id(wanted.fixed["pk"]))
        scopes = ask(_scopes(wanted.fixed))
        indexed = not wanted.fixed.keys() - {"queue", "status"}
        if wanted.as_stored and indexed and len(scopes) == 1:
            high = scopes[0].total if wanted.high is None else wanted.high
            limit = max(0, min(high, wanted.low + LOOKED_AT) - wanted.low)
            rows = _rows(ask(scopes[0].page(wanted.low, limit)) if limit else [])
            return Found(rows=rows, window=True)
        shares = _shares([scope.total for scope in scopes])
        parts = ask(
            together(
                [
                    scope.newest(share)
                    for scope, share in zip(scopes, shares, strict=True)
                ]
            )
        )
        return Found(
            rows=_rows(record for part in parts for record in part),
            cut=sum(scope.total for scope in scopes) > LOOKED_AT,
        )

    def count(self, fixed: Mapping[str, Values]) -> int | None:
        if fixed.keys() - {"queue", "status"}:
            return None
        scopes = ask(_scopes(fixed))
        total = sum(scope.total for scope in scopes)
        return total if len(scopes) == 1 else min(total, LOOKED_AT)


def _scopes(fixed: Mapping[str, Values]) -> Conversation[list[Scope]]:
    """The queues and statuses that have jobs and are wanted."""
    wanted: list[tuple[GroupKeys, list[str]]] = []
    for keys, names in (yield from places()):
        queues = fixed.get("queue", frozenset(names))
        wanted.append((keys, [name for name in names if name in queues]))
    counted = yield from together(
        [inspection.counts(keys, names) for keys, names in wanted]
    )
    statuses = [
        status
        for status in JobStatus
        if status in fixed.get("status", frozenset(JobStatus))
    ]
    return [
        Scope(keys, counts.queue, status, total)
        for (keys, _), found in zip(wanted, counted, strict=True)
        for counts in found
        for status in statuses
        if (total := getattr(counts, status.value))
    ]


def _shares(totals: Sequence[int]) -> list[int]:
    """How many of each to look at: small ones whole, the rest in equal parts."""
    shares = [0] * len(totals)
    left, waiting = LOOKED_AT, sorted(range(len(totals)), key=totals.__getitem__)
    while waiting:
        index = waiting.pop(0)
        shares[index] = min(totals[index], left // (len(waiting) + 1))
        left -= shares[index]
    return shares


def _by_id(ids: Iterable[Any]) -> list[Job]:
    names = [str(name) for name in ids][:LOOKED_AT]
    groups = [conf.keys_for(queues[0]) for queues in conf.groups().values()]
    found = ask(together([inspection.jobs(keys, names) for keys in groups]))
    return _rows(record for part in found for record in part)


def _rows(records: Iterable[JobRecord]) -> list[Job]:
    # A job that moves while it is read may be seen twice; the later state counts.
    by_id = {record.id: record for record in records}
    return [job_row(record) for record in by_id.values()]


def job_row(record: JobRecord) -> Job:
    """A job's row. A body that nobody can read has no function's name."""
    try:
        function = parse_body(record.body).function
    except PayloadMalformed:
        function = ""
    row = Job(
        id=record.id,
        function=function,
        queue=record.queue,
        status=record.status.value,
        priority=record.priority,
        enqueued_at=_moment(record.enqueued_ms),
        due_at=moment(record.due_ms),
        expires_at=moment(record.expires_ms),
        started_at=moment(record.started_ms),
        finished_at=moment(record.finished_ms),
        run=record.run,
        attempts_made=record.attempts_made,
        crashes=record.crashes,
        worker=record.worker,
        error=record.error or "",
    )
    row.record = record
    return loaded(row)


class QueueSource:
    """All queues, in the order of the settings."""

    def read(self, wanted: Wanted) -> Found:
        groups = ask(places())
        named = [(keys, name) for keys, names in groups for name in names]
        asked: list[Conversation[Any]] = [
            together([inspection.counts(*group) for group in groups]),
            together([inspection.latency(*place) for place in named]),
        ]
        counted, waits = ask(together(asked))
        queues = [counts for part in counted for counts in part]
        rows = [
            queue_row(position, counts, seconds)
            for position, (counts, seconds) in enumerate(
                zip(queues, waits, strict=True)
            )
        ]
        return Found(rows=rows)

    def count(self, fixed: Mapping[str, Values]) -> int | None:
        return None if fixed else sum(len(names) for _, names in ask(places()))


def queue_row(position: int, counts: QueueCounts, oldest_seconds: float) -> Queue:
    """A queue's row."""
    paused = counts.paused
    numbers = {status.value: getattr(counts, status.value) for status in JobStatus}
    return loaded(
        Queue(
            name=counts.queue,
            position=position,
            oldest_seconds=oldest_seconds,
            paused=paused is not None,
            pause_reason=paused.reason if paused else "",
            paused_by=paused.by if paused else "",
            paused_until=moment(paused.until_ms) if paused else None,
            **numbers,
        )
    )


class WorkerSource:
    """All registered workers. One that serves several groups is one row."""

    def read(self, wanted: Wanted) -> Found:
        groups = [conf.keys_for(queues[0]) for queues in conf.groups().values()]
        parts = ask(together([inspection.workers(keys) for keys in groups]))
        merged: dict[str, WorkerRecord] = {}
        for record in (record for part in parts for record in part):
            other = merged.get(record.id)
            merged[record.id] = _joined(other, record) if other else record
        return Found(rows=[worker_row(record) for record in merged.values()])

    def count(self, fixed: Mapping[str, Values]) -> int | None:
        return None


def _joined(one: WorkerRecord, other: WorkerRecord) -> WorkerRecord:
    return WorkerRecord(
        one.id,
        min(one.lease_ends_ms, other.lease_ends_ms),
        one.info,
        one.held + other.held,
    )


def worker_row(record: WorkerRecord) -> Worker:
    """A worker's row, from what it told about itself."""
    info = record.info
    started_ms = info.get("started_ms", "")
    row = Worker(
        id=record.id,
        host=info.get("host", ""),
        pid=int(info["pid"]) if info.get("pid", "").isdigit() else None,
        queues=info.get("queues", ""),
        started_at=moment(int(started_ms)) if started_ms.isdigit() else None,
        lease_ends_at=_moment(record.lease_ends_ms),
        held=len(record.held),
    )
    row.record = record
    return loaded(row)


SOURCES: Mapping[type[Model], Source] = {
    Job: JobSource(),
    Queue: QueueSource(),
    Worker: WorkerSource(),
}
