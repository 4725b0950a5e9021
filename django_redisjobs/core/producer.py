"""Enqueueing: the one way by which jobs enter Redis."""

from __future__ import annotations

from collections.abc import Sequence

from .durability import Durability
from .exceptions import NotAcknowledged
from .keys import GroupKeys
from .records import NewJob
from .scripts import SCRIPTS, Conversation, with_source, words

_ENQUEUE = SCRIPTS["enqueue"]


def enqueue(
    keys: GroupKeys, jobs: Sequence[NewJob], durability: Durability | None = None
) -> Conversation[list[str]]:
    """Store jobs of one group in one round trip, all or nothing.

    With ``durability`` that round trip ends when they are as durable as that; raises
    NotAcknowledged when they are enqueued but not that durable in time.

    Gives ``new`` or ``duplicate`` for each. It may be repeated when no answer came:
    an id that Redis knows is left as it is, and a REMEMBERED one that it knew within
    the last week. When Redis is full or read-only it refuses, and nothing is written.
    """
    fields: list[object] = []
    for job in jobs:
        fields += (
            job.id,
            job.queue,
            job.priority,
            _when(job),
            "" if job.ttl_ms is None else job.ttl_ms,
            job.callbacks,
            job.body,
        )
    command = _ENQUEUE.bind(keys, *fields)
    if durability is None:
        (replies,) = yield [command]
    else:
        # All on one connection: what waits knows only the writes of its own. The one
        # in the middle is for jobs that are there already, which writes nothing. The
        # script as a whole: what waits must never run without it.
        replies, _, reply = yield [
            with_source(command),
            ("SET", keys.synced, "1"),
            durability.command,
        ]
        if shortfall := durability.shortfall(reply):
            raise NotAcknowledged(shortfall)
    return words(replies)


def forget_sent(keys: GroupKeys, ids: Sequence[str]) -> Conversation[None]:
    """Nobody will send these REMEMBERED jobs again: their memory is not needed."""
    yield [("UNLINK", *map(keys.sent, ids))]


def _when(job: NewJob) -> str:
    if job.delay_ms is not None:
        return f"+{job.delay_ms}"
    return "" if job.due_ms is None else str(job.due_ms)
