"""How each queue is, once, in however many groups there are jobs of it.

Beside the group of the settings that is the one where it was before its ``GROUP`` was
changed: what has ended there is its history, and what still waits there is overdue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from django_redisjobs import conf
from django_redisjobs.core import inspection
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import JobStatus, QueueCounts
from django_redisjobs.core.scripts import Conversation, together

Places = Sequence[tuple[GroupKeys, list[str]]]
Standing = tuple[QueueCounts, float]
"""What is in a queue, and for how many seconds the oldest that is ready waits."""


def names(groups: Places) -> list[str]:
    """Each queue once: those of the settings in their order, then the others."""
    stored = chain.from_iterable(queues for _, queues in groups)
    return list(dict.fromkeys([*conf.get_settings().queues, *stored]))


def standings(groups: Places) -> Conversation[list[Standing]]:
    """How each of ``names`` is, in three round trips. It is paused if it is in the group
    of the settings: no worker looks at others.
    """
    asked: list[Conversation[Any]] = [
        together([inspection.counts(*group) for group in groups]),
        together([inspection.latencies(*group) for group in groups]),
    ]
    counted, waits = yield from together(asked)
    places = [(keys, queue) for keys, queues in groups for queue in queues]
    found = zip(chain.from_iterable(counted), chain.from_iterable(waits), strict=True)
    parts: dict[str, list[Standing]] = {queue: [] for queue in names(groups)}
    for (keys, queue), standing in zip(places, found, strict=True):
        # The first one says whether it is paused.
        at = 0 if _is_home(keys, queue) else len(parts[queue])
        parts[queue].insert(at, standing)
    return [_added(each) for each in parts.values()]


def _is_home(keys: GroupKeys, queue: str) -> bool:
    return queue in conf.get_settings().queues and conf.keys_for(queue) == keys


def _added(parts: Sequence[Standing]) -> Standing:
    (first, _), *others = parts
    if not others:
        return parts[0]
    sums = {
        status.value: sum(getattr(counts, status.value) for counts, _ in parts)
        for status in JobStatus
    }
    return replace(first, **sums), max(seconds for _, seconds in parts)
