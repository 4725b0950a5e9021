"""Keys under the prefix that are of no group of the settings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from django_redisjobs import conf
from django_redisjobs.calls import ask
from django_redisjobs.conf.addresses import Address
from django_redisjobs.core.audit import Finding
from django_redisjobs.core.scripts import Conversation, words
from django_redisjobs.management.operator.groups import group_keys

_SCANNED: Final = 1_000
_GLOB = re.compile(r"([*?\[\]\\])")


def strangers() -> tuple[list[Finding], list[str]]:
    """Keys that are nobody's, and warnings about groups that the settings lack."""
    settings = conf.get_settings()
    if Address.parse(settings.url).scheme == "cluster":
        # Each node has a part of them; a group's own are all on one, and looked at.
        return [], []
    ours = tuple(keys.base for keys in group_keys())
    # Another project's prefix may begin with ours: its keys look like a group's, too.
    of_a_group = re.compile(rf"({re.escape(settings.prefix)}:(?:.*:)?{{[^}}]+}}):")
    names = ask(_scan(settings.prefix, ours))
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


def _scan(prefix: str, ours: Sequence[str]) -> Conversation[set[str]]:
    pattern = _GLOB.sub(r"\\\1", prefix) + ":*"
    found: set[str] = set()
    cursor = 0
    while True:
        command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED)
        (reply,) = yield [command]
        cursor = int(reply[0])
        found.update(
            name for name in words(reply[1]) if not name.startswith(tuple(ours))
        )
        if not cursor:
            return found
