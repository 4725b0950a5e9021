"""Putting right what an audit found. Nothing that is found lost is deleted: a job whose
place is gone goes back to the head of its queue, or to where it ended.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import KeepPolicy, keep_text
from django_redisjobs.core.scripts import SCRIPTS, Conversation, clock_ms, word

from .findings import Finding, How, Mend
from .keyspace import KINDS, Key

# What makes other things right, or is needed for it, comes first.
_ORDER: Final[tuple[How, ...]] = (
    *("rename", "beside", "lease", "entry", "rescue", "state", "set_aside", "remove"),
    *("forget", "result", "place", "persist", "expire", "pause", "announce"),
    *("trim", "recount"),
)
_SCRIPT = SCRIPTS["mend"]
_RESCUE = SCRIPTS["rescue"]
_RECOUNT = SCRIPTS["recount"]


def mend(
    keys: GroupKeys,
    found: Sequence[Finding],
    *,
    lease_ms: int,
    keep: KeepPolicy,
    max_crashes: int,
) -> Conversation[int]:
    """Mend what can be; gives how many mends there were to do.

    What has changed since it was found is left for the next audit.
    """
    wanted = {one.mend for one in found if one.mend is not None}
    # To the head of its list each: the oldest last, so that it is first there.
    ordered = sorted(wanted, key=lambda one: (one.place, one.subject), reverse=True)
    ordered.sort(key=lambda one: _ORDER.index(one.how))
    tools = _Tools(keys, lease_ms, keep_text(keep), max_crashes)
    done = set()
    for one in ordered:
        # One recount mends all that a list has too much.
        act = (one.how, one.subject if one.how == "recount" else one)
        if act not in done:
            done.add(act)
            yield from tools.apply(one)
    return len(ordered)


class _Tools:
    def __init__(
        self, keys: GroupKeys, lease_ms: int, keep: str, max_crashes: int
    ) -> None:
        self._keys = keys
        self._lease_ms = lease_ms
        self._keep = keep
        self._max_crashes = max_crashes

    def apply(self, one: Mend) -> Conversation[None]:
        keys, key = self._keys, self._keys.base + one.subject
        if one.how == "rescue":
            yield from self._rescue(one.subject)
        elif one.how == "lease":
            yield from self._renew(one.subject)
        elif one.how == "recount":
            yield from self._count(one)
        elif one.how == "persist":
            yield [("PERSIST", key)]
        elif one.how == "expire":
            lifetime_ms = KINDS[Key.of(one.subject).kind].lifetime_ms
            yield [("PEXPIRE", key, lifetime_ms)]
        elif one.how == "announce":
            yield [("SADD", keys.queues, one.subject)]
        elif one.how == "pause":
            yield from self._pause(one.subject)
        elif one.how == "trim" and one.place.startswith("wake:"):
            yield [("LTRIM", keys.base + one.place, 0, 7)]
        else:
            yield from self._run(one)

    def _run(self, one: Mend) -> Conversation[None]:
        command = _SCRIPT.bind(
            self._keys,
            how=one.how,
            id=one.subject,
            place=one.place,
            fingerprint=one.fingerprint,
            keep=self._keep,
        )
        while True:
            (reply,) = yield [command]
            if word(reply[0]) != "more":
                return

    def _rescue(self, worker: str) -> Conversation[None]:
        """Nobody is charged: it is not known that anything crashed."""
        command = _RESCUE.bind(
            self._keys,
            worker=worker,
            charge="none",
            reason="repaired",
            max_crashes=self._max_crashes,
            keep=self._keep,
            sole=0,
        )
        while True:
            (reply,) = yield [command]
            if word(reply[0]) != "more":
                return

    def _count(self, one: Mend) -> Conversation[None]:
        keys, queue = self._keys, one.subject
        if one.by is None:
            yield [_RECOUNT.bind(keys, queue=queue, mend=1)]
            return
        (counter,) = yield [("HINCRBY", keys.tombstones, queue, one.by)]
        if counter <= 0:
            yield [("HDEL", keys.tombstones, queue)]

    def _renew(self, worker: str) -> Conversation[None]:
        """A lease from now: if it lives it renews it, else it is rescued."""
        (clock,) = yield [("TIME",)]
        now_ms = clock_ms(clock)
        yield [("ZADD", self._keys.workers, now_ms + self._lease_ms, worker)]

    def _pause(self, queue: str) -> Conversation[None]:
        """It stays paused, as workers take it to be, until people resume it."""
        (clock, value) = yield [("TIME",), ("HGET", self._keys.paused, queue)]
        now_ms = clock_ms(clock)
        reason = f"unreadable: {word(value or b'')[:200]}"
        document = json.dumps({"reason": reason, "by": ""}, separators=(",", ":"))
        yield [("HSET", self._keys.paused, queue, f"0 {now_ms} {document}")]
