"""Which keys a group may have: their types, and which of them may live for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from django_redisjobs.core.keys import GroupKeys, literally
from django_redisjobs.core.scripts import Conversation, word, words

from .findings import Finding, Mend

SCANNED: Final = 500


@dataclass(frozen=True, slots=True)
class Kind:
    """``lifetime_ms``: what such a key is given when it has none; 0: it must not
    have one. ``single``: there is one a group, without a name behind it.
    """

    type: str
    lifetime_ms: int = 0
    single: bool = False


_HOUR: Final = 3_600_000
KINDS: Final = {
    "job": Kind("string"),
    "state": Kind("hash"),
    "attempts": Kind("list"),
    "result": Kind("string", _HOUR),
    "done": Kind("list", 10_000),
    "sent": Kind("string", 7 * 24 * _HOUR),
    "pending": Kind("list"),
    "alone": Kind("list"),
    "priority": Kind("zset"),
    "scheduled": Kind("zset"),
    "parked": Kind("zset"),
    "succeeded": Kind("zset"),
    "failed": Kind("zset"),
    "cancelled": Kind("zset"),
    "expired": Kind("zset"),
    "wake": Kind("list"),
    "claimed": Kind("list"),
    "worker": Kind("hash"),
    "control": Kind("list", 60_000),
    "stacks": Kind("string", 600_000),
    "lost": Kind("list", 7 * 24 * _HOUR, single=True),
    "stats": Kind("hash", 25 * _HOUR),
    "spread": Kind("string", 2 * _HOUR),
    "aside": Kind("list", single=True),
    "workers": Kind("zset", single=True),
    "waiters": Kind("zset", single=True),
    "queues": Kind("set", single=True),
    "beside": Kind("set", single=True),
    "paused": Kind("hash", single=True),
    "tombstones": Kind("hash", single=True),
    "schema": Kind("string", single=True),
    "synced": Kind("string", single=True),
    "maintained": Kind("string", single=True),
    "sequence": Kind("string", single=True),
}
OF_A_JOB: Final = frozenset({"job", "state", "result", "attempts"})
OF_A_WORKER: Final = frozenset({"claimed", "worker"})
ENDED_PLACES: Final = ("succeeded", "failed", "cancelled", "expired")
SETS: Final = ("scheduled", "priority", "parked", *ENDED_PLACES)
PLACES: Final = frozenset({"pending", "alone", *SETS})


@dataclass(frozen=True, slots=True)
class Key:
    """One key: ``place`` is its name without the prefix."""

    place: str
    kind: str
    name: str

    @classmethod
    def of(cls, place: str) -> Key:
        kind, _, name = place.partition(":")
        return cls(place, kind, name)

    @property
    def is_aside(self) -> bool:
        """Something of a wrong type that a script has moved out of its way."""
        return self.kind == "aside" and bool(self.name)

    @property
    def rules(self) -> Kind | None:
        """None for a key that nobody owns."""
        found = KINDS.get(self.kind)
        return found if found and found.single != bool(self.name) else None


def scan(keys: GroupKeys, cursor: int) -> Conversation[tuple[int, list[Key]]]:
    """Some keys of the group, and from where to go on; 0 at the end."""
    pattern = literally(keys.base) + "*"
    (reply,) = yield [("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED)]
    names = words(reply[1])
    return int(reply[0]), [Key.of(name.removeprefix(keys.base)) for name in names]


def check(keys: GroupKeys, some: Sequence[Key]) -> Conversation[list[Finding]]:
    """What is wrong with the type and the lifetime of keys."""
    commands = []
    for key in some:
        commands += [
            ("TYPE", keys.base + key.place),
            ("PTTL", keys.base + key.place),
        ]
    replies = (yield commands) if commands else []
    found: list[Finding] = []
    for key, kind, left in zip(some, replies[::2], replies[1::2], strict=True):
        # A key may go between being scanned and being looked at.
        if word(kind) != "none":
            found += _faults(keys, key, word(kind), int(left))
    return found


def _faults(keys: GroupKeys, key: Key, type_: str, left_ms: int) -> Iterator[Finding]:
    rules = key.rules
    if key.is_aside:
        return
    if rules is None:
        yield Finding(
            "foreign-key",
            key.place,
            f"The key {keys.base}{key.place} ({type_}) is none of this package's. "
            "Rename or delete it.",
        )
    elif type_ != rules.type:
        yield Finding(
            "wrong-type",
            key.place,
            f"{key.place} is a {type_}, and ought to be a {rules.type}.",
            Mend("rename", key.place, rules.type),
        )
    elif left_ms >= 0 and not rules.lifetime_ms:
        yield Finding(
            "has-lifetime",
            key.place,
            f"{key.place} would disappear in {left_ms / 1000:,.0f} s by itself.",
            Mend("persist", key.place),
        )
    elif left_ms == -1 and rules.lifetime_ms:
        yield Finding(
            "no-lifetime",
            key.place,
            f"{key.place} has no lifetime: it would stay for ever.",
            Mend("expire", key.place),
        )
