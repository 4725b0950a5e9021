"""Workers, at what they work, and who was lost. Nothing here changes a job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from .keys import GroupKeys
from .listing import as_number
from .records import LostWorker, Stacks, WorkerRecord
from .scripts import Command, Conversation, pairs, word, words

MOST_RUNNING: Final = 10_000
"""Held entries that are looked at, at most."""


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
        found.append(WorkerRecord(worker, as_number(score), pairs(info), entries))
    return found


def worker_infos(
    keys: GroupKeys, ids: Sequence[str]
) -> Conversation[dict[str, dict[str, str]]]:
    """What these workers registered about themselves; who is gone is not in it."""
    replies = yield [("HGETALL", keys.worker(worker)) for worker in ids]
    return {
        worker: pairs(info) for worker, info in zip(ids, replies, strict=True) if info
    }


def running(keys: GroupKeys) -> Conversation[list[tuple[str, str]]]:
    """(id, queue) of what workers hold, at most ``MOST_RUNNING``."""
    found = yield from workers(keys)
    ids = [job_id for worker in found for job_id in worker.held][:MOST_RUNNING]
    if not ids:
        return []
    (raw,) = yield [("MGET", *(keys.job(job_id) for job_id in ids))]
    placed = []
    for job_id, envelope in zip(ids, raw, strict=True):
        queue = word(envelope or b"").split(" ", 2)[1:2]
        placed += [(job_id, name) for name in queue]
    return placed


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
