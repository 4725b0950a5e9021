"""How queues are: their counts, pages of their jobs, waits and statistics.

Nothing here changes a job.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from .exceptions import SchemaMismatch
from .keys import SCHEMA_VERSION, GroupKeys
from .listing import (
    ALWAYS,
    INDEXED,
    Place,
    Sizes,
    as_number,
    merged_ids,
    pending_ids,
    sizes,
    sizes_within,
    waiting,
)
from .lookup import jobs, settled
from .records import JobRecord, JobStatus, PauseRecord, QueueCounts
from .scripts import (
    SCRIPTS,
    Command,
    Conversation,
    clock_ms,
    pairs,
    together,
    with_source,
    word,
    words,
)
from .staff import running
from .texts import encodable_json

_LATENCY = SCRIPTS["latency"]
MOST_TOMBSTONES: Final = 5_000
"""Ids at the head of a queue that are looked through for one that waits."""
# So that each call takes a few milliseconds of the server.
_LOOKED_THROUGH_AT_ONCE: Final = 500


def queues(keys: GroupKeys) -> Conversation[list[str]]:
    """Names of the queues that ever held a job, sorted."""
    (raw,) = yield [("SMEMBERS", keys.queues)]
    return sorted(words(list(raw or ())))


def counts(keys: GroupKeys, names: Sequence[str]) -> Conversation[list[QueueCounts]]:
    """How many jobs are in each status, for each queue, in three round trips."""
    asked: list[Conversation[Any]] = [running(keys), sizes(keys, names)]
    held, found = yield from together(asked)
    return counted(found, held)


def counted(
    found: Sequence[Sizes], held: Sequence[tuple[str, str]]
) -> list[QueueCounts]:
    """Counts from the ids that queues have, and from what runs."""
    numbers = Counter(queue for _, queue in held)
    return [
        QueueCounts(
            queue=each.queue,
            pending=max(0, each.waiting.total - each.waiting.tombstones),
            running=numbers[each.queue],
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
        fields = json.loads(encodable_json(document))
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
    claimed; scheduled ones by due time. ``brief`` as in ``lookup.jobs``. ``from_end``:
    pages of pending and scheduled ones begin with the last, though each is in that
    order. Then nothing is passed over that waits all the while: what is claimed or falls
    due leaves at the other end, and what comes in is at worst read twice.
    """
    if status is JobStatus.RUNNING:
        held = yield from running(keys)
        ids = [job_id for job_id, name in held if name == queue]
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
            sizes_within([place], ALWAYS),
            merged_ids([place], offset, offset + limit, ALWAYS),
        ]
        (total,), placed = yield from together(asked)
        ids = [job_id for _, job_id in placed]
    return total, (yield from settled(keys, ids, queue, status, brief=brief))


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


def check_schema(keys: GroupKeys) -> Conversation[None]:
    """Raises SchemaMismatch where workers of this build would take nothing."""
    (stored,) = yield [("GET", keys.schema)]
    if as_number(stored) > int(SCHEMA_VERSION):
        raise SchemaMismatch(word(stored), SCHEMA_VERSION)


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
        {field: as_number(value) for field, value in pairs(reply).items()}
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
