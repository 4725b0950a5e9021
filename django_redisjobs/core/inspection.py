"""What people look at. Workers never use it; nothing here changes a job."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from .exceptions import PayloadMalformed
from .keys import GroupKeys
from .listing import (
    INDEXED,
    Place,
    Sizes,
    Span,
    as_number,
    merged_ids,
    pending_ids,
    sizes,
    sizes_within,
    waiting,
)
from .records import (
    ENDED,
    AttemptRecord,
    Envelope,
    JobRecord,
    JobStatus,
    LostWorker,
    PauseRecord,
    QueueCounts,
    Stacks,
    WorkerRecord,
    log_lines,
    parse_record,
)
from .scripts import (
    SCRIPTS,
    Command,
    Conversation,
    clock_ms,
    together,
    with_source,
    word,
    words,
)

_AWAIT = SCRIPTS["await"]
_LATENCY = SCRIPTS["latency"]
LONGEST_BLOCK_S: Final = 5
"""A lost wake-up costs at most this long."""
MOST_RUNNING: Final = 10_000
"""Held entries that are looked at, at most."""
MOST_TOMBSTONES: Final = 5_000
"""Ids at the head of a queue that are looked through for one that waits."""
# So that each call takes a few milliseconds of the server.
_LOOKED_THROUGH_AT_ONCE: Final = 500


def _pairs(reply: Any) -> dict[str, str]:
    """A hash's reply, in whichever form the client gives it."""
    if isinstance(reply, dict):
        items: Iterable[tuple[Any, Any]] = reply.items()
    else:
        items = zip((reply or ())[::2], (reply or ())[1::2], strict=True)
    return {word(name): word(value) for name, value in items}


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
    ``longest``: of a record only so many bytes are read, which may miss how it ended.
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
    else:
        commands += (("GETRANGE", keys.job(each), 0, longest - 1) for each in ids)
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
    records = next(more) if longest is None else [next(more) for _ in ids]
    parsed: Parsed = []
    for job_id, raw in zip(ids, records, strict=True):
        is_cut = longest is not None and len(raw or b"") >= longest
        # The end of what is cut was not read, but is where the id is.
        state = next(more) if stateful else {"status": place} if is_cut else None
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
    raw_state, raw_result, raw_attempts = rest
    state = _pairs(raw_state)
    attempts = _attempts(raw_attempts)
    common: dict[str, Any] = {
        "id": job_id,
        "queue": envelope.queue,
        "priority": envelope.priority,
        "body": envelope.body,
        "enqueued_ms": envelope.enqueued_ms,
        "due_ms": envelope.due_ms,
        "expires_ms": envelope.expires_ms,
    }
    ended = envelope.ended
    if ended is None:
        default = JobStatus.SCHEDULED if scheduled else JobStatus.PENDING
        return JobRecord(
            **common,
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
            progress=state.get("progress"),
            error=state.get("error"),
            ready_ms=as_number(state.get("ready_ms")),
        )

    def part(name: str) -> str | None:
        value = ended.document.get(name, _ABSENT)
        return None if value is _ABSENT else json.dumps(value, separators=(",", ":"))

    result = part("result")
    if raw_result is not None and ended.result_expires_ms > now_ms:
        result = word(raw_result)
    if ended.status is JobStatus.SUCCEEDED:
        attempts += (
            AttemptRecord(
                number=ended.attempts,
                run=ended.run,
                worker=ended.worker,
                started_ms=ended.started_ms,
                finished_ms=ended.finished_ms,
                outcome="succeeded",
                logs=log_lines(ended.document.get("logs")),
            ),
        )
    return JobRecord(
        **common,
        status=ended.status,
        started_ms=ended.started_ms,
        finished_ms=ended.finished_ms,
        run=ended.run,
        attempts=attempts,
        attempts_made=ended.attempts,
        crashes=ended.crashes,
        worker=ended.worker,
        result=result,
        meta=part("meta"),
        progress=part("progress"),
        error=ended.document.get("error"),
    )


_ABSENT: Final = object()


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


def workers(keys: GroupKeys) -> Conversation[list[WorkerRecord]]:
    """All registered workers with what they hold, in two round trips."""
    (raw,) = yield [("ZRANGE", keys.workers, 0, -1)]
    ids = words(raw or ())
    if not ids:
        return []
    commands: list[Command] = []
    for worker in ids:
        commands += (
            ("ZSCORE", keys.workers, worker),
            ("HGETALL", keys.worker(worker)),
            ("LRANGE", keys.claimed(worker), 0, MOST_RUNNING - 1),
        )
    replies = yield commands
    found = []
    for index, worker in enumerate(ids):
        score, info, held = replies[index * 3 : index * 3 + 3]
        if score is None:
            continue
        entries = tuple(word(entry).partition(" ")[0] for entry in held or ())
        found.append(WorkerRecord(worker, as_number(score), _pairs(info), entries))
    return found


def worker_infos(
    keys: GroupKeys, ids: Sequence[str]
) -> Conversation[dict[str, dict[str, str]]]:
    """What these workers registered about themselves; who is gone is not in it."""
    replies = yield [("HGETALL", keys.worker(worker)) for worker in ids]
    return {
        worker: _pairs(info) for worker, info in zip(ids, replies, strict=True) if info
    }


def queues(keys: GroupKeys) -> Conversation[list[str]]:
    """Names of the queues that ever held a job, sorted."""
    (raw,) = yield [("SMEMBERS", keys.queues)]
    return sorted(words(list(raw or ())))


def running(keys: GroupKeys) -> Conversation[list[tuple[str, str]]]:
    """(id, queue) of what workers hold, at most ``MOST_RUNNING``."""
    found = yield from workers(keys)
    ids = [job_id for worker in found for job_id in worker.held][:MOST_RUNNING]
    if not ids:
        return []
    (raw,) = yield [("MGET", *(keys.job(job_id) for job_id in ids))]
    pairs = []
    for job_id, envelope in zip(ids, raw, strict=True):
        queue = word(envelope or b"").split(" ", 2)[1:2]
        pairs += [(job_id, name) for name in queue]
    return pairs


def counts(keys: GroupKeys, names: Sequence[str]) -> Conversation[list[QueueCounts]]:
    """How many jobs are in each status, for each queue, in three round trips."""
    asked: list[Conversation[Any]] = [running(keys), sizes(keys, names)]
    pairs, found = yield from together(asked)
    return counted(found, pairs)


def counted(
    found: Sequence[Sizes], pairs: Sequence[tuple[str, str]]
) -> list[QueueCounts]:
    """Counts from the ids that queues have, and from what runs."""
    held = Counter(queue for _, queue in pairs)
    return [
        QueueCounts(
            queue=each.queue,
            pending=max(0, each.waiting.total - each.waiting.tombstones),
            running=held[each.queue],
            **{status.value: each.indexed[status] for status in INDEXED},
            paused=_pause(each.paused, each.now_ms),
        )
        for each in found
    ]


def _pause(raw: bytes | None, now_ms: int) -> PauseRecord | None:
    if raw is None:
        return None
    try:
        until_ms, since_ms, document = word(raw).split(" ", 2)
        fields = json.loads(document)
        found = PauseRecord(
            fields["reason"], fields["by"], int(since_ms), int(until_ms)
        )
    except (ValueError, TypeError, KeyError):
        # Workers take it for a pause without an end.
        return PauseRecord(f"unreadable: {raw!r:.200}", "", 0, 0)
    # Only a worker that claims from the queue takes away what is over.
    return None if 0 < found.until_ms <= now_ms else found


def page(
    keys: GroupKeys,
    queue: str,
    status: JobStatus,
    offset: int,
    limit: int,
    *,
    brief: bool = False,
    from_end: bool = False,
) -> Conversation[tuple[int, list[JobRecord]]]:
    """Jobs of one status: how many there are, and one page of records.

    Ended ones newest first; pending ones in the order in which they will be
    claimed; scheduled ones by due time. ``brief`` as in ``jobs``. ``from_end``: pages of
    pending and scheduled ones begin with the last, though each is in that order. Then
    nothing is passed over that waits all the while: what is claimed or falls due leaves
    at the other end, and what comes in is at worst read twice.
    """
    if status is JobStatus.RUNNING:
        pairs = yield from running(keys)
        ids = [job_id for job_id, name in pairs if name == queue]
        found = yield from jobs(keys, ids[offset : offset + limit], brief=brief)
        return len(ids), found
    if status is JobStatus.PENDING:
        there = yield from waiting(keys, queue)
        total = there.total
        if from_end:
            high = total - offset
            offset = max(0, high - limit)
            limit = high - offset
        ids = yield from pending_ids(
            keys, queue, there, offset, limit, from_end=from_end
        )
    elif from_end and status is JobStatus.SCHEDULED:
        key = keys.scheduled(queue)
        commands: list[Command] = [
            ("ZCARD", key),
            ("ZREVRANGE", key, offset, offset + limit - 1),
        ]
        total, raw = yield commands
        ids = words(raw or ())[::-1] if limit else []
    else:
        place = Place(keys, queue, status)
        asked: list[Conversation[Any]] = [
            sizes_within([place], Span()),
            merged_ids([place], offset, offset + limit, Span()),
        ]
        (total,), placed = yield from together(asked)
        ids = [job_id for _, job_id in placed]
    return total, (yield from settled(keys, ids, queue, status, brief=brief))


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


def latencies(keys: GroupKeys, names: Sequence[str]) -> Conversation[list[float]]:
    """Seconds that the oldest ready job of each queue waits already; 0 when none does.

    The first in line and of each priority are the oldest but for what was put back, so of
    the line the first few are looked at; more where many at the head were cancelled, and
    behind MOST_TOMBSTONES of these nobody looks. In one round trip, but for these.
    """
    oldest: dict[str, int] = {}
    clock = 0
    to_ask = dict.fromkeys(names, 0)
    while to_ask:
        fields = [field for pair in to_ask.items() for field in pair]
        command = _LATENCY.bind(keys, *fields, most=_LOOKED_THROUGH_AT_ONCE)
        # Whole, since it goes with others: in a pipeline nobody sends it a second time.
        (reply,) = yield [with_source(command)]
        clock = int(reply[1])
        found = zip(list(to_ask), reply[2::2], reply[3::2], strict=True)
        to_ask = {}
        for queue, since, looked_through in found:
            if since:
                oldest[queue] = min(int(since), oldest.get(queue, clock))
            if looked_through and int(looked_through) < MOST_TOMBSTONES:
                to_ask[queue] = int(looked_through)
    return [(clock - oldest.get(queue, clock)) / 1000 for queue in names]


def latency(keys: GroupKeys, queue: str) -> Conversation[float]:
    """``latencies`` of one."""
    (seconds,) = yield from latencies(keys, [queue])
    return seconds


def now_ms() -> Conversation[int]:
    """The server's time, which all stored times are in."""
    (clock,) = yield [("TIME",)]
    return clock_ms(clock)


def statistics(
    keys: GroupKeys, bucket: str, numbers: Sequence[int]
) -> Conversation[list[dict[str, int]]]:
    """Counters of these minutes or hours since the epoch: field -> value.

    Fields are ``q:QUEUE:WORD`` and ``f:FUNCTION:WORD`` with the words succeeded,
    failed, retried, cancelled, crashed, expired, run_ms and wait_ms.
    """
    if not numbers:
        return []
    replies = yield [("HGETALL", keys.statistics(bucket, number)) for number in numbers]
    return [
        {field: as_number(value) for field, value in _pairs(reply).items()}
        for reply in replies
    ]


def spreads(
    keys: GroupKeys, bucket: str, numbers: Sequence[int], names: Sequence[str]
) -> Conversation[dict[str, list[bytes]]]:
    """How long the runs of these minutes or hours waited and ran, by queue.

    Each is what scripts have counted, as it is stored; empty where nothing ended.
    """
    replies = yield [
        ("MGET", *(keys.spread(bucket, number, name) for number in numbers))
        for name in names
    ]
    return {
        name: [raw or b"" for raw in reply]
        for name, reply in zip(names, replies, strict=True)
    }


def lost_workers(keys: GroupKeys) -> Conversation[list[LostWorker]]:
    """Workers that died or fell silent within a week, the newest first."""
    (raw,) = yield [("LRANGE", keys.lost, 0, -1)]
    found = []
    for entry in raw or ():
        try:
            found.append(LostWorker(**json.loads(entry)))
        except (TypeError, ValueError):
            continue
    return found


def stacks(keys: GroupKeys, worker: str) -> Conversation[Stacks | None]:
    """What a worker has answered to ``dump`` lately."""
    (raw,) = yield [("GET", keys.stacks(worker))]
    try:
        return Stacks(**json.loads(raw)) if raw else None
    except (TypeError, ValueError):
        return None


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


def aside(keys: GroupKeys, limit: int = 100) -> Conversation[list[tuple[str, bytes]]]:
    """Entries that could not be understood: (time, place and reason; raw), newest last."""
    (raw,) = yield [("LRANGE", keys.aside, -limit, -1)]
    found = []
    for entry in raw or ():
        reason, _, content = entry.partition(b"\n")
        found.append((reason.decode(errors="replace"), content))
    return found


def is_ended(status: JobStatus) -> bool:
    """Whether a job of this status will not run again by itself."""
    return status in ENDED
