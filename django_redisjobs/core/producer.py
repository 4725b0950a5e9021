"""Enqueueing: the one way by which jobs enter Redis."""

from __future__ import annotations

from collections.abc import Sequence

from .keys import GroupKeys
from .records import NewJob
from .scripts import SCRIPTS, Conversation, words

_ENQUEUE = SCRIPTS["enqueue"]


def enqueue(keys: GroupKeys, jobs: Sequence[NewJob]) -> Conversation[list[str]]:
    """Store jobs of one group in one round trip, all or nothing.

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
    (replies,) = yield [_ENQUEUE.bind(keys, *fields)]
    return words(replies)


def forget_sent(keys: GroupKeys, ids: Sequence[str]) -> Conversation[None]:
    """Nobody will send these REMEMBERED jobs again: their memory is not needed."""
    yield [("UNLINK", *map(keys.sent, ids))]


def _when(job: NewJob) -> str:
    if job.delay_ms is not None:
        return f"+{job.delay_ms}"
    return "" if job.due_ms is None else str(job.due_ms)
