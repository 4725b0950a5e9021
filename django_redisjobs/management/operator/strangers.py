"""What is under the prefix and not where the settings look for it: keys of no group, and
jobs that wait in a group that is not their queue's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from django_redisjobs import conf
from django_redisjobs.calls import ask
from django_redisjobs.conf.addresses import Address
from django_redisjobs.core import inspection
from django_redisjobs.core.audit import Finding
from django_redisjobs.core.keys import GroupKeys, literally
from django_redisjobs.core.records import QueueCounts
from django_redisjobs.core.scripts import Conversation, words
from django_redisjobs.management.operator.formats import counted
from django_redisjobs.management.operator.groups import (
    groups_with_queues,
)

_SCANNED: Final = 1_000


def foreign_names() -> set[str]:
    """The keys under the prefix that are of no group of the settings. Reads the names of
    all keys there are; none in a Cluster, whose nodes have a part of them each.
    """
    settings = conf.get_settings()
    if Address.parse(settings.url).scheme == "cluster":
        return set()
    ours = tuple(keys.base for keys in conf.groups())
    return ask(_scan(settings.prefix, ours))


def strangers(names: set[str]) -> tuple[list[Finding], list[str]]:
    """Of these, keys that are nobody's, and warnings about groups that the settings lack."""
    prefix = re.escape(conf.get_settings().prefix)
    # Another project's prefix may begin with ours: its keys look like a group's, too.
    of_a_group = re.compile(rf"({prefix}:(?:.*:)?{{[^}}]+}}):")
    groups = Counter(found[1] for name in names if (found := of_a_group.match(name)))
    foreign = [
        Finding(
            "foreign-key",
            name,
            f"The key {name} is none of this package's. Rename or delete it.",
        )
        for name in sorted(names)
        if not of_a_group.match(name)
    ]
    return foreign, [
        f"There are {count:,} keys of {group}, a group that the settings lack."
        for group, count in sorted(groups.items())
    ]


def stranded(names: set[str]) -> list[Finding]:
    """Queues whose jobs wait in a group that the settings do not have them in: their
    GROUP was changed. ``names``: of keys in groups that the settings lack.
    """
    groups = [*groups_with_queues(), *_groups_elsewhere(names)]
    return [
        Finding(
            "stranded",
            f"{{{keys.group}}} {each.queue}",
            f"{_waiting(each)} in queue {each.queue} of group {keys.group!r}, and the "
            f"settings have that queue in group {conf.keys_for(each.queue).group!r}: no "
            "worker with these settings takes them. Give the queue its old GROUP back "
            "until they are through.",
        )
        for keys, names in groups
        if (lost := _moved_away(keys, names))
        for each in ask(inspection.counts(keys, lost))
        if _number_of(each)
    ]


def _moved_away(keys: GroupKeys, names: Sequence[str]) -> list[str]:
    queues = conf.get_settings().queues
    return [name for name in names if name in queues and conf.keys_for(name) != keys]


def _number_of(counts: QueueCounts) -> int:
    return counts.pending + counts.scheduled + counts.parked


def _waiting(counts: QueueCounts) -> str:
    number = _number_of(counts)
    return f"{counted(number, 'job')} {'waits' if number == 1 else 'wait'}"


def _groups_elsewhere(names: set[str]) -> Iterator[tuple[GroupKeys, list[str]]]:
    """Groups that have a list of queues among these keys, and the queues."""
    prefix = conf.get_settings().prefix
    of_a_group = re.compile(rf"{re.escape(prefix)}:{{([^}}]+)}}:queues")
    for name in sorted(names):
        if found := of_a_group.fullmatch(name):
            keys = GroupKeys(prefix, found[1])
            yield keys, ask(inspection.queues(keys))


def _scan(prefix: str, ours: tuple[str, ...]) -> Conversation[set[str]]:
    pattern = literally(prefix) + ":*"
    found: set[str] = set()
    cursor = 0
    while True:
        command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED)
        (reply,) = yield [command]
        cursor = int(reply[0])
        found.update(name for name in words(reply[1]) if not name.startswith(ours))
        if not cursor:
            return found
