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
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import QueueCounts
from django_redisjobs.core.scripts import Conversation, words
from django_redisjobs.management.operator.formats import counted
from django_redisjobs.management.operator.groups import (
    group_keys,
    groups_with_queues,
)

_SCANNED: Final = 1_000
_GLOB = re.compile(r"([*?\[\]\\])")


def strangers() -> tuple[list[Finding], list[str]]:
    """Keys that are nobody's, and warnings about groups that the settings lack."""
    settings = conf.get_settings()
    if _is_cluster():
        # Each node has a part of them; a group's own are all on one, and looked at.
        return [], []
    ours = tuple(keys.base for keys in group_keys())
    # Another project's prefix may begin with ours: its keys look like a group's, too.
    of_a_group = re.compile(rf"({re.escape(settings.prefix)}:(?:.*:)?{{[^}}]+}}):")
    names = ask(_scan(settings.prefix, "*", ours))
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


def stranded() -> list[Finding]:
    """Queues whose jobs wait in a group that the settings do not have them in: their
    GROUP was changed. In a Cluster only the groups of the settings are looked at.
    """
    groups = [*groups_with_queues(), *_groups_elsewhere()]
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


def _groups_elsewhere() -> Iterator[tuple[GroupKeys, list[str]]]:
    """Groups under the prefix that the settings lack, and their queues."""
    if _is_cluster():
        return
    prefix, known = conf.get_settings().prefix, conf.groups()
    of_a_group = re.compile(rf"{re.escape(prefix)}:{{([^}}]+)}}:queues")
    for name in sorted(ask(_scan(prefix, "{*}:queues"))):
        found = of_a_group.fullmatch(name)
        if found is not None and found[1] not in known:
            keys = GroupKeys(prefix, found[1])
            yield keys, ask(inspection.queues(keys))


def _is_cluster() -> bool:
    return Address.parse(conf.get_settings().url).scheme == "cluster"


def _scan(
    prefix: str, which: str, without: tuple[str, ...] = ()
) -> Conversation[set[str]]:
    """``which``: a pattern of what stands behind the prefix; ``without``: how names begin
    that are not wanted.
    """
    pattern = _GLOB.sub(r"\\\1", prefix) + f":{which}"
    found: set[str] = set()
    cursor = 0
    while True:
        command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED)
        (reply,) = yield [command]
        cursor = int(reply[0])
        found.update(name for name in words(reply[1]) if not name.startswith(without))
        if not cursor:
            return found
