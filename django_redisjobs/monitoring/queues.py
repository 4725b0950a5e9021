"""How each queue is, once, in however many groups there are jobs of it.

Beside the group of the settings that is the one where it was before its ``GROUP`` was
changed: what has ended there is its history, and what still waits there is overdue.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from django_redisjobs import conf
from django_redisjobs.core import inspection
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import QueueCounts
from django_redisjobs.core.scripts import Conversation, together
from django_redisjobs.queues import joined

Places = Sequence[tuple[GroupKeys, list[str]]]
Standing = tuple[QueueCounts, float]
"""What is in a queue, and for how many seconds the oldest that is ready waits."""


def names(groups: Places) -> list[str]:
    """Each queue once: those of the settings in their order, then the others."""
    stored = dict.fromkeys(chain.from_iterable(queues for _, queues in groups))
    configured = [name for name in conf.get_settings().queues if name in stored]
    return list(dict.fromkeys([*configured, *stored]))


def standings(groups: Places) -> Conversation[list[Standing]]:
    """How each of ``names`` is, in three round trips."""
    asked: list[Conversation[Any]] = [
        together([inspection.counts(*group) for group in groups]),
        together([inspection.latencies(*group) for group in groups]),
    ]
    counted, waits = yield from together(asked)
    parts: dict[str, dict[GroupKeys, QueueCounts]] = {
        name: {} for name in names(groups)
    }
    oldest = dict.fromkeys(parts, 0.0)
    for (keys, _), counts, seconds in zip(groups, counted, waits, strict=True):
        for each, waited in zip(counts, seconds, strict=True):
            parts[each.queue][keys] = each
            oldest[each.queue] = max(oldest[each.queue], waited)
    return [(joined(each), oldest[queue]) for queue, each in parts.items()]
