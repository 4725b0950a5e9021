"""Enqueueing: the one way by which jobs enter Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .durability import Durability
from .exceptions import NotAcknowledged
from .keys import GroupKeys
from .records import NewJob
from .scripts import SCRIPTS, Conversation, Tried, with_source

_ENQUEUE = SCRIPTS["enqueue"]


def enqueue(
    keys: GroupKeys, jobs: Sequence[NewJob], durability: Durability | None = None
) -> Conversation[list[int]]:
    """Store jobs of one group in one round trip, all or nothing.

    With ``durability`` that round trip ends when they are as durable as that; raises
    NotAcknowledged when they are enqueued but not that durable in time.

    Gives the places in ``jobs`` of those that were there already. So it may be repeated
    when no answer came: an id that Redis knows is left as it is, and a REMEMBERED one
    that it knew within the last week. When Redis is full or read-only it refuses, and
    nothing is written.
    """
    fields: list[Any] = []
    shared: tuple[object, ...] = ()
    count_at = 0
    for job_id, queue, body, priority, delay_ms, due_ms, ttl_ms, callbacks in jobs:
        terms = (queue, priority, delay_ms, due_ms, ttl_ms, callbacks)
        if terms != shared:
            # What the jobs of a bulk have in common is sent once.
            shared = terms
            when = _when(delay_ms, due_ms)
            ttl = "" if ttl_ms is None else ttl_ms
            fields += (queue, priority, when, ttl, callbacks, 0)
            count_at = len(fields) - 1
        fields[count_at] += 1
        fields += (job_id, body)
    command = _ENQUEUE.bind(keys, *fields)
    if durability is None:
        (reply,) = yield [command]
    else:
        # All on one connection: what waits knows only the writes of its own. The one
        # in the middle is for jobs that are there already, which writes nothing. The
        # script as a whole: what waits must never run without it.
        reply, marked, waited = yield [
            with_source(command),
            Tried(("SET", keys.synced, "1")),
            Tried(durability.command),
        ]
        if isinstance(marked, Exception) and len(reply) - 1 == len(jobs):
            raise NotAcknowledged(f"the server cannot tell: {marked}")
        if shortfall := durability.shortfall(waited):
            raise NotAcknowledged(shortfall)
    places: list[int] = reply[1:]
    return places


def forget_sent(keys: GroupKeys, ids: Sequence[str]) -> Conversation[None]:
    """Nobody will send these REMEMBERED jobs again: their memory is not needed."""
    yield [("UNLINK", *map(keys.sent, ids))]


def _when(delay_ms: int | None, due_ms: int | None) -> str:
    if delay_ms is not None:
        return f"+{delay_ms}"
    return "" if due_ms is None else str(due_ms)
