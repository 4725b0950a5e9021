"""What a worker claims and how it settles that, in the form in which scripts have it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from .records import DEFAULT_KEEP, JobStatus, KeepPolicy

Kind = Literal[
    "succeeded", "retry", "failed", "cancelled", "released", "parked", "note"
]
STATUS_AFTER: Final[Mapping[Kind, JobStatus]] = {
    "succeeded": JobStatus.SUCCEEDED,
    "retry": JobStatus.SCHEDULED,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
    "released": JobStatus.PENDING,
    "parked": JobStatus.PARKED,
    "note": JobStatus.RUNNING,
}
"""The job's status when that is settled."""

Fields: TypeAlias = tuple[str, ...]
"""Of one settlement, as ``step`` takes them: its kind, ``ID TOKEN``, and what follows."""


@dataclass(slots=True)
class Claimed:
    """A job that this worker holds. ``run`` rises with every claim of the job:
    the fence for writes outside Redis. ``attempts`` are those that ended before.
    ``alone``: it must run in a process that ran nothing before, beside nothing.
    ``ready_ms``: when it was ready once more, after a retry say; 0 for the first time.
    """

    id: str
    token: str
    queue: str
    priority: int
    body: str
    enqueued_ms: int
    due_ms: int
    run: int = 1
    attempts: int = 0
    crashes: int = 0
    alone: bool = False
    meta: str | None = None
    claimed_ms: int = 0
    ready_ms: int = 0

    @property
    def entry(self) -> str:
        return f"{self.id} {self.token}"


@dataclass(slots=True)
class Settlement:
    """How an attempt ended. Texts are JSON; times are the server's milliseconds.

    ``released``: back to the head of its queue, nothing counted; with
    ``started_ms`` 0 it never started and its run number is given back too.
    ``note``: the job goes on running; ``meta`` and ``progress`` are stored.
    ``parked``: no worker of this build can run it; ``error`` says why.
    ``result_ttl_ms`` 0 stores no result; the result never outlives the record.
    ``logs``: what the run that succeeded has logged; others have it in ``attempt``.
    """

    kind: Kind
    job: Claimed
    function: str = ""
    started_ms: int = 0
    finished_ms: int = 0
    delay_ms: int = 0
    result: str | None = None
    result_ttl_ms: int = 0
    meta: str | None = None
    progress: str | None = None
    error: str | None = None
    attempt: str = ""
    logs: str | None = None


def parse_claimed(
    job_id: bytes, record: bytes, history: bytes, token: str, server_ms: int
) -> Claimed:
    """One job of a step's reply. The script has checked the header's form.

    ``history``: what is known of earlier claims; empty when there were none.
    """
    header, _, body = record.decode("utf-8", "surrogateescape").partition("\n")
    _, queue, priority, enqueued_ms, *rest = header.split(" ")
    claimed = Claimed(
        job_id.decode(),
        token,
        queue,
        int(priority),
        body,
        int(enqueued_ms),
        int(rest[0] or 0) if rest else 0,
        claimed_ms=server_ms,
    )
    if history:
        run, attempts, crashes, alone, ready_ms, meta = history.split(b" ", 5)
        claimed.run = int(run)
        claimed.attempts = int(attempts)
        claimed.crashes = int(crashes)
        claimed.alone = alone == b"1"
        claimed.ready_ms = int(ready_ms)
        claimed.meta = meta.decode(errors="replace") or None
    return claimed


def success_kept_ms(keep: KeepPolicy) -> int:
    """How long the records of jobs that succeeded are kept."""
    return keep.get(JobStatus.SUCCEEDED, DEFAULT_KEEP[JobStatus.SUCCEEDED]).age_ms


def settlement_fields(settlement: Settlement, kept_ms: int) -> Fields:
    """By which ``step`` knows a settlement: as many as it lists for that kind.

    ``kept_ms``: how long the records of jobs that succeeded are kept. A result that
    lives as long as its record is in it, another one apart.
    """
    job, kind = settlement.job, settlement.kind
    entry = job.entry
    if kind == "released":
        return (kind, entry, "" if settlement.started_ms else "unstarted")
    if kind == "note":
        return (kind, entry, settlement.meta or "", settlement.progress or "")
    if kind == "parked":
        return (kind, entry, settlement.error or "")
    started_ms, finished_ms = settlement.started_ms, settlement.finished_ms
    result, ttl_ms = settlement.result or "", settlement.result_ttl_ms
    if not ttl_ms:
        result = ""
    apart = kind == "succeeded" and bool(result) and ttl_ms < kept_ms
    result_expires_ms = finished_ms + ttl_ms if apart else 0
    ran_ms = max(0, finished_ms - started_ms)
    # A job that was enqueued for later has both times, and waits since the second.
    waited_ms = max(0, started_ms - (job.ready_ms or job.due_ms or job.enqueued_ms))
    stats = f"{settlement.function} {ran_ms} {waited_ms}"
    worker, _, _ = job.token.partition(":")
    document = _document(settlement, "" if apart else result)
    tail = (
        f"{job.run} {job.attempts + 1} {job.crashes} {worker} "
        f"{started_ms} {finished_ms} {result_expires_ms}\n{document}"
    )
    if apart:
        return ("apart", entry, stats, tail, str(ttl_ms), result)
    if kind == "succeeded":
        return (kind, entry, stats, tail)
    if kind == "retry":
        delay_ms = str(settlement.delay_ms)
        return (kind, entry, stats, tail, settlement.attempt, delay_ms)
    return (kind, entry, stats, tail, settlement.attempt)


def _document(settlement: Settlement, result: str) -> str:
    """What there is to keep of an ended job, as JSON."""
    text = f'"result":{result}' if result else ""
    if settlement.meta is not None:
        text += f',"meta":{settlement.meta}'
    if settlement.progress is not None:
        text += f',"progress":{settlement.progress}'
    if settlement.error is not None:
        text += f',"error":{json.dumps(settlement.error)}'
    if settlement.logs is not None:
        text += f',"logs":{settlement.logs}'
    return f"{{{text.removeprefix(',')}}}"
