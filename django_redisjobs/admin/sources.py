"""What sources of rows are asked for, and those of Queue and Worker.

Each source asks the core for records and makes rows of them. Reads of several queues
travel together, so that a page costs a few round trips however many queues there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TypeVar

from django.conf import settings as django_settings
from django.db.models import Model
from django.utils import timezone

from django_redisjobs import conf
from django_redisjobs.admin.conditions import Values
from django_redisjobs.calls import ask, places
from django_redisjobs.core import staff
from django_redisjobs.core.failures import function_at
from django_redisjobs.core.listing import ALWAYS, Span
from django_redisjobs.core.payload import parse_body
from django_redisjobs.core.records import (
    JobRecord,
    JobStatus,
    LostWorker,
    QueueCounts,
    WorkerRecord,
)
from django_redisjobs.core.scripts import Conversation, together
from django_redisjobs.exceptions import PayloadMalformed
from django_redisjobs.models import Job, Queue, Worker
from django_redisjobs.monitoring.queues import Standing, names, standings
from django_redisjobs.monitoring.reading import merged
from django_redisjobs.queries import moment_of
from django_redisjobs.snapshots import date_of

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a query needs of its source.

    ``exact``: the columns in ``fixed`` and the ``span`` of time are all that is asked
    of a row. ``as_stored``: no order is asked for. ``low`` and ``high``: which rows.
    """

    fixed: Mapping[str, Values]
    span: Span = ALWAYS
    exact: bool = True
    as_stored: bool = True
    low: int = 0
    high: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Rows of a source, in its own order.

    ``cut``: there are more that nobody looked at. ``window``: these are already the
    wanted rows ``low`` to ``high``, else all there are.
    """

    rows: Sequence[Model]
    cut: bool = False
    window: bool = False


class Source:
    """Gives the rows of one model; what it has read it may remember."""

    def __init__(self, *, broad: bool = False) -> None:
        """``broad``: many unlike questions will be asked."""

    def read(self, wanted: Wanted) -> Found:
        """At least the wanted rows. Raises ServerUnavailable."""
        raise NotImplementedError

    def count(self, wanted: Wanted) -> int | None:
        """How many rows there are to read, if that is quicker than reading them."""
        return None

    def total(self, wanted: Wanted) -> int | None:
        """How many rows there are, also beyond those that can be read."""
        return self.count(wanted)

    def edges(self, wanted: Wanted) -> tuple[datetime, datetime] | None:
        """The first and the last time of the wanted rows, if an index knows them."""
        return None


def moment(epoch_ms: int) -> datetime | None:
    """A stored time as Django shows it; 0 is none."""
    return _moment(epoch_ms) if epoch_ms else None


def _moment(epoch_ms: int) -> datetime:
    found = date_of(epoch_ms)
    return found if django_settings.USE_TZ else timezone.make_naive(found)


def loaded(row: M) -> M:
    """Mark a row as one that exists already."""
    row._state.adding = False
    row._state.db = "default"
    return row


def job_row(record: JobRecord) -> Job:
    """A job's row. A body that nobody can read has no function's name."""
    try:
        body = parse_body(record.shown_body)
    except PayloadMalformed:
        body = None
    row = Job.from_db(
        "default",
        _JOB_COLUMNS,
        (
            record.id,
            body.function if body else function_at(record.shown_body),
            record.queue,
            record.status.value,
            record.priority,
            _moment(record.enqueued_ms),
            _moment(moment_of(record)),
            moment(record.due_ms),
            moment(record.expires_ms),
            moment(record.started_ms),
            moment(record.finished_ms),
            record.run,
            record.attempts_made,
            record.crashes,
            record.worker,
            record.error or "",
        ),
    )
    row.record, row.body = record, body
    return row


# By position: a page makes thousands of rows.
_JOB_COLUMNS = tuple(field.attname for field in Job._meta.concrete_fields)


class QueueSource(Source):
    """All queues, in the order of the settings."""

    def read(self, wanted: Wanted) -> Found:
        found = ask(_standings(wanted.fixed.get("pk")))
        return Found(rows=[queue_row(place, *each) for place, each in enumerate(found)])

    def count(self, wanted: Wanted) -> int | None:
        if wanted.fixed or not wanted.exact:
            return None
        return len(names(ask(places())))


def _standings(chosen: Values | None) -> Conversation[list[Standing]]:
    """How all queues are, or those of these names."""
    if chosen is not None and chosen <= conf.get_settings().queues.keys():
        # Nobody need ask whether there are such.
        groups = [(keys, list(chosen)) for keys in conf.groups()]
    else:
        groups = [
            (keys, [name for name in stored if chosen is None or name in chosen])
            for keys, stored in (yield from places())
        ]
    return (yield from standings(groups))


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


class WorkerSource(Source):
    """All registered workers. One that serves several groups is one row."""

    _found: Found | None = None

    def read(self, wanted: Wanted) -> Found:
        if self._found is None:
            self._found = self._read()
        return self._found

    def _read(self) -> Found:
        parts = ask(together([staff.workers(keys) for keys in conf.groups()]))
        records = merged(chain.from_iterable(parts))
        return Found(rows=[worker_row(record) for record in records])


def worker_row(record: WorkerRecord) -> Worker:
    """A worker's row, from what it told about itself."""
    row = Worker(
        id=record.id,
        host=record.info.get("host", ""),
        pid=record.pid or None,
        queues=" ".join(record.queues),
        started_at=moment(record.started_ms),
        lease_ends_at=_moment(record.lease_ends_ms),
        held=len(record.held),
    )
    row.record = record
    return loaded(row)


def lost_row(lost: LostWorker) -> Worker:
    """The row that a worker had whose record is gone, without what it told beside."""
    info = {
        "name": lost.name,
        "host": lost.host,
        "pid": lost.pid,
        "queues": lost.queues,
        "started_ms": lost.started_ms,
    }
    return worker_row(WorkerRecord(lost.worker, lost.at_ms, info, ()))
