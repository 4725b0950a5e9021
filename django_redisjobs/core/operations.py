"""What people do to jobs and queues. Each is one script, safe beside any worker."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .keys import GroupKeys
from .records import KeepPolicy, keep_text
from .scripts import SCRIPTS, Conversation, word, words
from .texts import encodable

CHUNK = 500
"""Ids that a bulk form sends at once."""


def cancel_many(
    keys: GroupKeys, ids: Sequence[str], *, keep: KeepPolicy
) -> Conversation[list[str]]:
    """End jobs that wait; have those that run interrupted.

    Gives for each ``cancelled``, ``requested`` (it runs: its worker is asked),
    ``ended`` or ``missing``.
    """
    return (yield from _in_chunks("cancel", keys, ids, keep=keep_text(keep)))


def retry_many(keys: GroupKeys, ids: Sequence[str]) -> Conversation[list[str]]:
    """Run ended or parked jobs again: same id, fresh budget, old attempts kept.

    Gives for each ``pending``, ``live`` (it waits or runs: nothing changed) or
    ``missing``.
    """
    return (yield from _in_chunks("retry", keys, ids))


def delete_many(keys: GroupKeys, ids: Sequence[str]) -> Conversation[list[str]]:
    """Remove jobs that do not run, with all that is stored of them.

    Gives for each ``deleted``, ``running`` (nothing changed) or ``missing``.
    """
    return (yield from _in_chunks("delete", keys, ids, waiting=1))


def delete_ended_many(keys: GroupKeys, ids: Sequence[str]) -> Conversation[list[str]]:
    """``delete_many`` of those that have ended: what somebody has run again meanwhile
    stays as it is, which is ``waiting``.
    """
    return (yield from _in_chunks("delete", keys, ids, waiting=0))


def unpark_many(keys: GroupKeys, ids: Sequence[str]) -> Conversation[list[str]]:
    """Make parked jobs ready, for a worker that knows their function."""
    return (yield from _in_chunks("unpark", keys, ids))


def promote_many(keys: GroupKeys, ids: Sequence[str]) -> Conversation[list[str]]:
    """Make scheduled jobs ready now, whenever they are due.

    Gives for each ``pending``, ``unchanged`` (it is not scheduled) or ``missing``.
    """
    return (yield from _in_chunks("promote", keys, ids))


def move_many(
    keys: GroupKeys, ids: Sequence[str], queue: str
) -> Conversation[list[str]]:
    """Take jobs that wait to another queue of their group, in the status they have.

    Gives for each ``moved``, ``same`` (it is there already), ``running``, ``ended``
    or ``missing``; but for the first nothing changed.
    """
    return (yield from _in_chunks("move", keys, ids, queue=queue))


def _in_chunks(
    name: str, keys: GroupKeys, ids: Sequence[str], **terms: str | int
) -> Conversation[list[str]]:
    replies: list[str] = []
    for first in range(0, len(ids), CHUNK):
        chunk = ids[first : first + CHUNK]
        (reply,) = yield [SCRIPTS[name].bind(keys, *chunk, **terms)]
        replies += words(reply)
    return replies


def cancel(keys: GroupKeys, job_id: str, *, keep: KeepPolicy) -> Conversation[str]:
    """``cancel_many`` of one."""
    (reply,) = yield from cancel_many(keys, [job_id], keep=keep)
    return reply


def retry(keys: GroupKeys, job_id: str) -> Conversation[str]:
    """``retry_many`` of one."""
    (reply,) = yield from retry_many(keys, [job_id])
    return reply


def delete(keys: GroupKeys, job_id: str) -> Conversation[str]:
    """``delete_many`` of one."""
    (reply,) = yield from delete_many(keys, [job_id])
    return reply


def pause(
    keys: GroupKeys,
    queue: str,
    *,
    reason: str = "",
    by: str = "",
    for_ms: int | None = None,
    until_ms: int | None = None,
) -> Conversation[int]:
    """Let no more job of a queue start; gives until when (0: until resumed)."""
    told = {"reason": encodable(reason), "by": encodable(by)}
    document = json.dumps(told, separators=(",", ":"))
    (reply,) = yield [
        SCRIPTS["pause"].bind(
            keys,
            queue=queue,
            for_ms="" if for_ms is None else for_ms,
            until_ms="" if until_ms is None else until_ms,
            document=document,
        )
    ]
    return int(reply[1])


def resume(keys: GroupKeys, queue: str) -> Conversation[bool]:
    """Let a queue's jobs start again; gives whether it was paused."""
    (reply,) = yield [SCRIPTS["resume"].bind(keys, queue=queue)]
    return word(reply[0]) == "resumed"


def purge(keys: GroupKeys, queue: str) -> Conversation[int]:
    """Delete what waits in a queue, pending and scheduled; gives how many jobs."""
    purged, more = 0, True
    while more:
        more, part = yield from purge_part(keys, queue)
        purged += part
    return purged


def purge_part(keys: GroupKeys, queue: str) -> Conversation[tuple[bool, int]]:
    """One step of a purge; gives whether more is left, and how many jobs it deleted."""
    (reply,) = yield [SCRIPTS["purge"].bind(keys, queue=queue)]
    return word(reply[0]) == "more", int(reply[1])
