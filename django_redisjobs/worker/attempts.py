"""Settlements from what happened: the texts that go to Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_redisjobs.core.records import AttemptRecord, LogLine
from django_redisjobs.core.settlements import Claimed, Settlement

if TYPE_CHECKING:
    from .outcome import Description, Verdict


def settlement(
    verdict: Verdict,
    job: Claimed,
    function: str,
    what: Description,
    *,
    started_ms: int,
    finished_ms: int,
    logs: tuple[LogLine, ...] = (),
) -> Settlement:
    """The settlement of an attempt that ended in any way but success."""
    if verdict.kind == "released":
        return Settlement("released", job, started_ms=started_ms)
    if verdict.kind == "parked":
        return Settlement("parked", job, function, error=what.line)
    record = AttemptRecord(
        number=job.attempts + job.crashes + 1,
        run=job.run,
        worker=job.token.partition(":")[0],
        started_ms=started_ms,
        finished_ms=finished_ms,
        outcome=verdict.word,
        exception_class=what.exception_class,
        message=what.message,
        traceback=what.traceback,
        logs=logs,
    )
    return Settlement(
        verdict.kind,
        job,
        function,
        started_ms=started_ms,
        finished_ms=finished_ms,
        delay_ms=round(verdict.delay_seconds * 1000),
        error=what.line,
        attempt=record.to_json(),
    )


def unstarted(job: Claimed) -> Settlement:
    """Give back what never started."""
    return Settlement("released", job)
