"""Ids of jobs in the order of what indexes them: windows over one place or several.

A *place* is one status of one queue. Ended jobs are indexed by when they ended,
scheduled ones by when they are due, pending ones by the order of their claims.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from .keys import GroupKeys
from .records import JobStatus
from .scripts import Command, Conversation, clock_ms, word, words

INDEXED: Final = (
    JobStatus.SUCCEEDED,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
    JobStatus.EXPIRED,
    JobStatus.PARKED,
    JobStatus.SCHEDULED,
)
"""Statuses whose jobs are in a sorted set."""


# The beginning of the year 9999: no datetime is much later.
LARGEST_SCORE: Final = 253_370_764_800_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long the four parts of what is pending are, in the order of claims.

    ``tombstones`` of the ids in the plain list are no jobs any more.
    """

    alone: int
    before: int
    listed: int
    behind: int
    tombstones: int

    @property
    def total(self) -> int:
        """Ids, whatever they are of."""
        return self.alone + self.before + self.listed + self.behind


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many ids a queue has. ``paused`` is what is stored of a pause, which may be
    over at ``now_ms``, the server's time.
    """

    queue: str
    waiting: Waiting
    indexed: dict[JobStatus, int]
    paused: bytes | None
    now_ms: int


@dataclass(frozen=True, slots=True)
class Span:
    """What ended since a moment and before another one; None is no bound."""

    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def bounds(self) -> tuple[str, str]:
        """The lowest and the highest score, as commands take them."""
        since, until = self.since_ms, self.until_ms
        return (
            "-inf" if since is None else str(since),
            "+inf" if until is None else f"({until}",
        )


ALWAYS: Final = Span()


@dataclass(frozen=True, slots=True)
class Place:
    """The jobs of one queue in one status, where these are in a sorted set."""

    keys: GroupKeys
    queue: str
    status: JobStatus

    @property
    def key(self) -> str:
        if self.status is JobStatus.SCHEDULED:
            return self.keys.scheduled(self.queue)
        return self.keys.ended(self.status, self.queue)


def as_number(value: Any) -> int:
    """A stored count or time; what is none counts as 0, as it does for scripts."""
    try:
        found = float(value or 0)
    except ValueError:
        return 0
    return int(found) if 0 <= found <= 2**53 else 0


def scored(reply: Any) -> list[tuple[str, int]]:
    """Ids and scores, in whichever form the client gives them."""
    items = list(reply or ())
    if items and not isinstance(items[0], (tuple, list)):
        items = list(zip(items[::2], items[1::2], strict=True))
    return [(word(job_id), _whole(float(score))) for job_id, score in items]


def _whole(score: float) -> int:
    # By hand somebody may have scored one with infinity.
    return int(max(-LARGEST_SCORE, min(score, LARGEST_SCORE)))


def sizes(keys: GroupKeys, names: Sequence[str]) -> Conversation[list[Sizes]]:
    """How many ids each of these queues has, in one round trip."""
    if not names:
        return []
    commands: list[Command] = [
        ("TIME",),
        ("HMGET", keys.paused, *names),
        ("HMGET", keys.tombstones, *names),
    ]
    for queue in names:
        commands += _waiting_commands(keys, queue)
        commands += (("ZCARD", Place(keys, queue, status).key) for status in INDEXED)
    clock, paused, tombstones, *replies = yield commands
    now_ms = clock_ms(clock)
    nothing = [None] * len(names)
    paused, tombstones = paused or nothing, tombstones or nothing
    width = 4 + len(INDEXED)
    found = []
    for index, queue in enumerate(names):
        own = [as_number(size) for size in replies[index * width : (index + 1) * width]]
        alone, before, listed, behind, *others = own
        waiting = Waiting(alone, before, listed, behind, as_number(tombstones[index]))
        indexed: dict[JobStatus, int] = dict(zip(INDEXED, others, strict=True))
        found.append(Sizes(queue, waiting, indexed, paused[index], now_ms))
    return found


def waiting(keys: GroupKeys, queue: str) -> Conversation[Waiting]:
    """How many ids of one queue are pending."""
    replies = yield [
        *_waiting_commands(keys, queue),
        ("HMGET", keys.tombstones, queue),
    ]
    alone, before, listed, behind = map(as_number, replies[:4])
    tombstones = as_number((replies[4] or [None])[0])
    return Waiting(alone, before, listed, behind, tombstones)


def _waiting_commands(keys: GroupKeys, queue: str) -> list[Command]:
    key = keys.priority(queue)
    return [
        ("LLEN", keys.alone(queue)),
        ("ZCOUNT", key, "-inf", "(0"),
        ("LLEN", keys.pending(queue)),
        ("ZCOUNT", key, "(0", "+inf"),
    ]


def pending_ids(
    keys: GroupKeys,
    queue: str,
    sizes: Waiting,
    offset: int,
    limit: int,
    *,
    from_end: bool = False,
) -> Conversation[list[str]]:
    """Ids in the order of claims, in one round trip.

    ``from_end``: their places are told from the ends of the lists, where claims since
    ``sizes`` were read have not moved them.
    """
    prioritized = sizes.before + sizes.behind
    # Four places one behind the other.
    parts = (
        (sizes.alone, "LRANGE", keys.alone(queue), 0, sizes.alone),
        (sizes.before, "ZRANGE", keys.priority(queue), 0, prioritized),
        (sizes.listed, "LRANGE", keys.pending(queue), 0, sizes.listed),
        (sizes.behind, "ZRANGE", keys.priority(queue), sizes.before, prioritized),
    )
    commands: list[Command] = []
    start, left = offset, limit
    for size, command, name, shift, length in parts:
        if start < size and left > 0:
            take = min(left, size - start)
            first = shift + start - (length if from_end else 0)
            commands.append((command, name, first, first + take - 1))
            left -= take
        start = max(0, start - size)
    if not commands:
        return []
    return [job_id for raw in (yield commands) for job_id in words(raw or ())]


def sizes_within(places: Sequence[Place], span: Span) -> Conversation[list[int]]:
    """How many jobs of each place ended within a span, in one round trip."""
    if not places:
        return []
    replies = yield [("ZCOUNT", place.key, *span.bounds) for place in places]
    return [as_number(reply) for reply in replies]


def edges(places: Sequence[Place]) -> Conversation[dict[Place, tuple[int, int]]]:
    """The first and the last score of each place that has any, in one round trip."""
    if not places:
        return {}
    commands: list[Command] = []
    for place in places:
        commands += (
            ("ZRANGE", place.key, 0, 0, "WITHSCORES"),
            ("ZRANGE", place.key, -1, -1, "WITHSCORES"),
        )
    replies = iter((yield commands))
    found = {}
    for place, first, last in zip(places, replies, replies, strict=True):
        scores = [score for _, score in scored(first) + scored(last)]
        if scores:
            found[place] = min(scores), max(scores)
    return found


def merged_ids(
    places: Sequence[Place], low: int, high: int, span: Span
) -> Conversation[list[tuple[Place, str]]]:
    """Ids ``low`` to ``high`` of all these places together: what is due first, first;
    else what ended last, first. Either all are of scheduled jobs or none is. In one
    round trip.

    Of one place that costs what is asked for, of several also all that is before it.
    """
    if not places or high <= low:
        return []
    ascending = places[0].status is JobStatus.SCHEDULED
    alone = len(places) == 1
    offset = low if alone else 0
    replies = yield [
        _range(place, span, offset, high - offset, ascending=ascending)
        for place in places
    ]
    if alone:
        return [(places[0], job_id) for job_id, _ in scored(replies[0])]
    sign = 1 if ascending else -1
    parts = [
        [(sign * score, index, job_id) for job_id, score in scored(raw)]
        for index, raw in enumerate(replies)
    ]
    merged = list(heapq.merge(*parts, key=itemgetter(0)))[low:high]
    return [(places[index], job_id) for _, index, job_id in merged]


def _range(
    place: Place, span: Span, offset: int, limit: int, *, ascending: bool
) -> Command:
    if span == ALWAYS and not ascending:
        last = offset + limit - 1
        return ("ZREVRANGE", place.key, offset, last, "WITHSCORES")
    lowest, highest = span.bounds
    page = ("LIMIT", offset, limit, "WITHSCORES")
    if ascending:
        return ("ZRANGEBYSCORE", place.key, lowest, highest, *page)
    return ("ZREVRANGEBYSCORE", place.key, highest, lowest, *page)
