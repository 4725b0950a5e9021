"""Looking up jobs by their ids: what is stored of them, and whether they have ended.

Nothing here changes a job.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from .exceptions import PayloadMalformed
from .keys import GroupKeys
from .listing import as_number
from .records import (
    ENDED,
    AttemptRecord,
    Ended,
    Envelope,
    JobRecord,
    JobStatus,
    log_lines,
    parse_record,
)
from .scripts import (
    SCRIPTS,
    Command,
    Conversation,
    clock_ms,
    pairs,
    with_source,
    word,
)
from .texts import encodable_json

_AWAIT = SCRIPTS["await"]
_SKIM = SCRIPTS["skim"]
LONGEST_BLOCK_S: Final = 5
"""A lost wake-up costs at most this long."""


def jobs(
    keys: GroupKeys,
    ids: Sequence[str],
    *,
    brief: bool = False,
    place: JobStatus | None = None,
    longest: int | None = None,
) -> Conversation[list[JobRecord]]:
    """Records of those ids that Redis knows, in order, in two round trips.

    ``brief`` leaves out attempts and results with a lifetime of their own. ``place``
    is the status whose list or set the ids were read from: that saves a round trip.
    ``longest``: of a record only so many bytes are read, and of one that ended when and
    how that was, but no result, error or the like.
    """
    if not ids:
        return []
    now_ms, parsed = yield from _stored(keys, ids, brief, place, longest)
    unclaimed = [
        (job_id, envelope)
        for job_id, envelope, (state, *_) in parsed
        if not envelope.ended and not state
    ]
    scheduled = set()
    if place is not None:
        # An id in a plain list is pending even where a set has it too: claims say so.
        is_scheduled = place is JobStatus.SCHEDULED
        scheduled = {job_id for job_id, _ in unclaimed if is_scheduled}
    elif unclaimed:
        scores = yield [
            ("ZSCORE", keys.scheduled(envelope.queue), job_id)
            for job_id, envelope in unclaimed
        ]
        scheduled = {
            job_id
            for (job_id, _), score in zip(unclaimed, scores, strict=True)
            if score is not None
        }
    return [
        _record(job_id, envelope, rest, job_id in scheduled, now_ms)
        for job_id, envelope, rest in parsed
    ]


Parsed = list[tuple[str, Envelope, list[Any]]]
"""Ids, with what is stored of each: the record; state, result and attempts."""


def _stored(
    keys: GroupKeys,
    ids: Sequence[str],
    brief: bool,
    place: JobStatus | None,
    longest: int | None,
) -> Conversation[tuple[int, Parsed]]:
    """The server's time and what is stored, of ids that have a record, as ``jobs``."""
    # What ended has no state; who has one in such a place is about to leave it.
    stateful = place not in ENDED
    commands: list[Command] = [("TIME",)]
    if longest is None:
        commands.append(("MGET", *map(keys.job, ids)))
    elif stateful:
        commands += (("GETRANGE", keys.job(each), 0, longest - 1) for each in ids)
    else:
        # Whole, since it goes with others: in a pipeline nobody sends it a second time.
        commands.append(with_source(_SKIM.bind(keys, *ids, longest=longest)))
    for job_id in ids:
        if stateful:
            commands.append(("HGETALL", keys.state(job_id)))
        if not brief:
            commands += (
                ("GET", keys.result(job_id)),
                ("LRANGE", keys.attempts(job_id), 0, -1),
            )
    clock, *replies = yield commands
    now_ms = clock_ms(clock)
    more = iter(replies)
    if longest is None:
        records = next(more)
    else:
        records = [next(more) for _ in ids] if stateful else next(more)[1:]
    parsed: Parsed = []
    for job_id, raw in zip(ids, records, strict=True):
        # What waits or runs has no end yet; one that is half there is of no use.
        is_cut = stateful and longest is not None and len(raw or b"") >= longest
        state = next(more) if stateful else None
        rest = [None, None] if brief else [next(more), next(more)]
        try:
            envelope = parse_record(_without_end(raw) if is_cut else raw or b"")
        except PayloadMalformed:
            continue
        parsed.append((job_id, envelope, [state, *rest]))
    return now_ms, parsed


def _without_end(raw: bytes) -> bytes:
    """The header and the body of a record, or as much as there is of them."""
    return b"\n".join(raw.split(b"\n", 2)[:2])


def job(keys: GroupKeys, job_id: str) -> Conversation[JobRecord | None]:
    """One job with its attempts; None when Redis does not know it."""
    found = yield from jobs(keys, [job_id])
    return found[0] if found else None


def _attempts(raw: Sequence[Any]) -> tuple[AttemptRecord, ...]:
    attempts = []
    for entry in raw or ():
        try:
            attempts.append(AttemptRecord.from_json(entry))
        except PayloadMalformed:
            continue
    return tuple(attempts)


def _status(text: str) -> JobStatus:
    try:
        return JobStatus(text)
    except ValueError:
        # Scripts take it for one that waits.
        return JobStatus.PENDING


def _record(
    job_id: str, envelope: Envelope, rest: list[Any], scheduled: bool, now_ms: int
) -> JobRecord:
    state, result, raw_attempts = rest
    attempts = _attempts(raw_attempts)
    ended = envelope.ended
    if ended is None:
        return _live(job_id, envelope, pairs(state), attempts, scheduled)
    lives_on = result is not None and ended.result_expires_ms > now_ms
    return _ended(job_id, envelope, ended, attempts, word(result) if lives_on else None)


def _live(
    job_id: str,
    envelope: Envelope,
    state: Mapping[str, str],
    attempts: tuple[AttemptRecord, ...],
    scheduled: bool,
) -> JobRecord:
    default = JobStatus.SCHEDULED if scheduled else JobStatus.PENDING
    return JobRecord(
        **_enqueued(job_id, envelope),
        status=_status(state.get("status", default)),
        started_ms=as_number(state.get("claimed_ms")),
        finished_ms=0,
        run=as_number(state.get("run")),
        attempts=attempts,
        attempts_made=as_number(state.get("attempts")),
        crashes=as_number(state.get("crashes")),
        worker=state.get("token", "").partition(":")[0],
        result=None,
        meta=state.get("meta"),
        progress=encodable_json(state["progress"]) if "progress" in state else None,
        error=state.get("error"),
        ready_ms=as_number(state.get("ready_ms")),
    )


def _ended(
    job_id: str,
    envelope: Envelope,
    ended: Ended,
    attempts: tuple[AttemptRecord, ...],
    apart: str | None,
) -> JobRecord:
    """``apart``: the result that is stored beside the record, where it lives on."""
    document = ended.document
    if ended.status is JobStatus.SUCCEEDED:
        attempts += (
            AttemptRecord(
                number=ended.attempts,
                run=ended.run,
                worker=ended.worker,
                started_ms=ended.started_ms,
                finished_ms=ended.finished_ms,
                outcome="succeeded",
                logs=log_lines(document.get("logs")),
            ),
        )
    return JobRecord(
        **_enqueued(job_id, envelope),
        status=ended.status,
        started_ms=ended.started_ms,
        finished_ms=ended.finished_ms,
        run=ended.run,
        attempts=attempts,
        attempts_made=ended.attempts,
        crashes=ended.crashes,
        worker=ended.worker,
        result=_part(document, "result") if apart is None else apart,
        meta=_part(document, "meta"),
        progress=_part(document, "progress"),
        error=document.get("error"),
    )


def _enqueued(job_id: str, envelope: Envelope) -> dict[str, Any]:
    """What is known of a job since it was enqueued."""
    return {
        "id": job_id,
        "queue": envelope.queue,
        "priority": envelope.priority,
        "body": envelope.body,
        "enqueued_ms": envelope.enqueued_ms,
        "due_ms": envelope.due_ms,
        "expires_ms": envelope.expires_ms,
    }


def _part(document: Mapping[str, Any], name: str) -> str | None:
    """One value of an ended job's document, as JSON; null is a value."""
    if name not in document:
        return None
    return json.dumps(document[name], separators=(",", ":"))


def settled(
    keys: GroupKeys,
    ids: Sequence[str],
    queue: str,
    status: JobStatus,
    *,
    brief: bool = False,
    longest: int | None = None,
) -> Conversation[list[JobRecord]]:
    """Those of these ids whose jobs are where the ids were read, in one round trip."""
    # An id may stand in a list a second time, or have gone to another queue.
    unique = list(dict.fromkeys(ids))
    found = yield from jobs(keys, unique, brief=brief, place=status, longest=longest)
    return [
        record for record in found if (record.status, record.queue) == (status, queue)
    ]


def due_next(
    keys: GroupKeys, records: Sequence[JobRecord]
) -> Conversation[list[JobRecord]]:
    """These records, with the time at which those that wait for a retry are due.

    What is stored of a job has that of its first run alone.
    """
    retried = [
        record
        for record in records
        if record.status is JobStatus.SCHEDULED and record.run
    ]
    if not retried:
        return list(records)
    scores = yield [
        ("ZSCORE", keys.scheduled(record.queue), record.id) for record in retried
    ]
    due = {
        record.id: as_number(score)
        for record, score in zip(retried, scores, strict=True)
    }
    return [
        replace(record, due_ms=due.get(record.id) or record.due_ms)
        for record in records
    ]


def known(keys: GroupKeys, ids: Sequence[str]) -> Conversation[list[str]]:
    """Those of these ids that something is stored under, in one round trip."""
    replies = yield [("EXISTS", keys.job(job_id)) for job_id in ids]
    return [job_id for job_id, there in zip(ids, replies, strict=True) if there]


def status(keys: GroupKeys, job_id: str) -> Conversation[JobStatus | None]:
    """A job's status; None when Redis does not know it. One round trip."""
    (reply,) = yield [_AWAIT.bind(keys, id=job_id, wait_ms=0)]
    return _awaited(reply)[0]


def await_end(
    keys: GroupKeys, job_id: str, wait_ms: int
) -> Conversation[tuple[JobStatus | None, bool]]:
    """Wait once for a job's end, at most ``wait_ms`` or about five seconds.

    Gives the status (None: unknown to Redis) and whether it has ended. Blocks on
    Redis, so it wants a client whose socket timeout is longer; the caller repeats it
    until its own limit. Redis 5 blocks for whole seconds, of which 0 means for ever.
    """
    (reply,) = yield [_AWAIT.bind(keys, id=job_id, wait_ms=max(0, wait_ms))]
    if word(reply[0]) != "waiting" or wait_ms <= 0:
        return _awaited(reply)
    seconds = max(1, min(LONGEST_BLOCK_S, -(-wait_ms // 1000)))
    yield [("BLPOP", keys.done(job_id), seconds)]
    (reply,) = yield [_AWAIT.bind(keys, id=job_id, wait_ms=0)]
    return _awaited(reply)


def _awaited(reply: Any) -> tuple[JobStatus | None, bool]:
    kind = word(reply[0])
    if kind == "missing":
        return None, False
    return _status(word(reply[1])), kind == "ended"
