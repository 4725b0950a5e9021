"""A job as people see it: frozen, with aware times and decoded values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django_redisjobs.context import Progress
from django_redisjobs.core.payload import decode_body
from django_redisjobs.core.records import AttemptRecord, JobRecord, JobStatus
from django_redisjobs.serialization import snapshot_codec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# With the year 9999 dates end, in some time zones a day earlier than in others.
_LATEST_MS = (datetime(9999, 12, 30, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedLine:
    """One line that a job logged."""

    at: datetime | None
    level: str
    logger: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptInfo:
    """One ended run of a job. ``number`` counts from 1 what counts against the retries,
    anew after ``retry()`` (that of a crash the crashes before it, too), so several may
    have the same one. ``run`` names each start.

    ``outcome`` is succeeded, failed, timeout, cancelled or crashed; the three
    texts are empty unless something was raised. ``logs``: the last lines that it
    logged, as far as ``LOG_LINES`` keeps them.
    """

    number: int
    run: int
    worker: str
    started_at: datetime | None
    finished_at: datetime | None
    outcome: str
    exception_class: str
    message: str
    traceback: str
    logs: tuple[LoggedLine, ...] = ()

    @classmethod
    def of(cls, record: AttemptRecord) -> AttemptInfo:
        return cls(
            number=record.number,
            run=record.run,
            worker=record.worker,
            started_at=aware(record.started_ms),
            finished_at=aware(record.finished_ms),
            outcome=record.outcome,
            exception_class=record.exception_class,
            message=record.message,
            traceback=record.traceback,
            logs=tuple(
                LoggedLine(at=aware(at_ms), level=level, logger=logger, text=text)
                for at_ms, level, logger, text in record.logs
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """All that Redis knows of a job at one moment. Times are aware, in UTC.

    Model instances among the values are ``ModelReference``: looking at a job
    queries no database. ``result`` is None unless it succeeded and its result is
    still kept; ``error`` is one line, empty unless something went wrong.
    """

    id: str
    function: str
    queue: str
    status: JobStatus
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    priority: int
    enqueued_at: datetime | None
    due_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    result: Any
    error: str
    attempts: tuple[AttemptInfo, ...]
    crashes: int
    progress: Progress | None
    meta: Mapping[str, Any]

    @classmethod
    def of(cls, record: JobRecord) -> JobInfo:
        """Raises PayloadMalformed when this build cannot read what is stored."""
        body = decode_body(record.body, snapshot_codec)
        return cls(
            id=record.id,
            function=body.function,
            queue=record.queue,
            status=record.status,
            args=tuple(body.args),
            kwargs=body.kwargs,
            priority=record.priority,
            enqueued_at=aware(record.enqueued_ms),
            due_at=aware(record.due_ms),
            started_at=aware(record.started_ms),
            finished_at=aware(record.finished_ms),
            result=_decoded(record.result, None),
            error=_error(record),
            attempts=tuple(map(AttemptInfo.of, record.attempts)),
            crashes=record.crashes,
            progress=Progress.read(record.progress or "null"),
            meta=_decoded(record.meta, {}),
        )


def aware(milliseconds: int) -> datetime | None:
    """The time, in UTC; None for 0, which stands for never."""
    return date_of(milliseconds) if milliseconds else None


def date_of(epoch_ms: int) -> datetime:
    """A stored time in UTC, or the first or last one that every time zone has a date for."""
    return _EPOCH + timedelta(milliseconds=min(max(epoch_ms, 0), _LATEST_MS))


def iso(epoch_ms: int) -> str | None:
    """A stored time for programs; None for never."""
    when = aware(epoch_ms)
    return when.isoformat(timespec="milliseconds") if when else None


def _decoded(text: str | None, absent: Any) -> Any:
    return absent if text is None else snapshot_codec.loads(text)


def _error(record: JobRecord) -> str:
    if record.error:
        return record.error
    last = record.attempts[-1] if record.attempts else None
    if last is None or not last.exception_class:
        return ""
    return f"{last.exception_class.rpartition('.')[2]}: {last.message}"
