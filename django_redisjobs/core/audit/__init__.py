"""Whether what is stored is whole: every job in exactly one place, nothing without an
owner, nothing without a bound. Right beside workers too: what looks broken is looked
at once more before it is called so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import DEFAULT_KEEP, KeepPolicy
from django_redisjobs.core.scripts import Conversation, words

from . import keyspace, queues, staff
from .findings import Finding, Mend, Report
from .jobs import Jobs
from .keyspace import OF_A_JOB, OF_A_WORKER, SETS, Key
from .mending import mend

__all__ = ["Finding", "Mend", "Report", "audit", "mend"]

_MOST_ASIDE = 5


def audit(
    keys: GroupKeys, *, lease_ms: int, keep: KeepPolicy, queues: Iterable[str] = ()
) -> Conversation[Report]:
    """Look at every key of a group. Changes nothing.

    ``queues``: names of queues that there may be, besides those that Redis knows.
    """
    return (yield from _Audit(keys, lease_ms, {**DEFAULT_KEEP, **keep}).run(queues))


class _Audit:
    def __init__(self, keys: GroupKeys, lease_ms: int, keep: KeepPolicy) -> None:
        self._keys = keys
        self._lease_ms = lease_ms
        self._keep = keep
        self._jobs = Jobs(keys)
        self._suspects: list[Key] = []
        self._kept: list[Key] = []
        self._aside = 0
        self._seen = 0
        self._outlines: dict[str, tuple[Any, ...]] = {}
        self.broken: list[Finding] = []
        self.warnings: list[str] = []

    def run(self, names: Iterable[str]) -> Conversation[Report]:
        (stored,) = yield [("SMEMBERS", self._keys.queues)]
        listed = sorted({*names, *words(list(stored or ()))})
        for queue in listed:
            self._outlines[queue] = yield from queues.outline(self._keys, queue)
        yield from self._jobs.read_lists(listed)
        yield from self._look_at_keys()
        for key in self._kept:
            if key.kind in SETS or key.kind == "alone":
                yield from self._jobs.look_into(key.place)
        self.broken += yield from keyspace.check(self._keys, self._suspects)
        held = yield from self._look_at_workers()
        for one in (yield from self._jobs.confirm()):
            if one.code != "no-place" or one.where.removeprefix("job:") not in held:
                self.broken.append(one)
        yield from self._look_at_queues(listed)
        yield from self._look_aside()
        unique = {one.identity: one for one in self.broken}
        ordered = sorted(unique.values(), key=lambda one: (one.code, one.where))
        return Report(ordered, self.warnings, self._seen)

    def _look_at_keys(self) -> Conversation[None]:
        cursor = 0
        while True:
            cursor, found = yield from keyspace.scan(self._keys, cursor)
            faulty = {
                one.where for one in (yield from keyspace.check(self._keys, found))
            }
            self._suspects += [key for key in found if key.place in faulty]
            ids = [key.name for key in found if key.kind in OF_A_JOB]
            yield from self._jobs.look_at(list(dict.fromkeys(ids)))
            # Not how many were looked at: of some there are several keys.
            self._seen += len({key.name for key in found if key.kind == "job"})
            # The rest are few: so many a queue, a worker, a minute.
            self._kept += [key for key in found if key.kind not in (*OF_A_JOB, "done")]
            if not cursor:
                break
        self._aside = sum(key.is_aside for key in self._kept)
        self._kept = [key for key in dict.fromkeys(self._kept) if key.rules is not None]

    def _look_at_workers(self) -> Conversation[set[str]]:
        """Gives the jobs of which only their worker's list knows that they run."""
        named = [key.name for key in self._kept if key.kind in OF_A_WORKER]
        held: set[str] = set()
        for roster in (yield from staff.look_at_all(self._keys, named)):
            self.broken += staff.judge(roster, self._lease_ms)
            held.update(roster.stateless)
            if roster.is_dead:
                self.warnings.append(
                    f"Worker {roster.worker} is dead and holds {len(roster.entries)} "
                    "jobs; the next step of any worker rescues it."
                )
        return held

    def _look_at_queues(self, listed: Sequence[str]) -> Conversation[None]:
        keys = self._keys
        (counted,) = yield [("HKEYS", keys.tombstones)]
        pending = {key.name for key in self._kept if key.kind == "pending"}
        for queue in sorted({*listed, *pending, *words(counted or ())}):
            count = yield from queues.recount(keys, queue)
            count = count or (yield from self._count_long(queue))
            if count is None:
                self.warnings.append(
                    f"pending:{queue} is long and changes: its counter was not verified."
                )
            else:
                self.broken += queues.judge_count(count)
        found, warnings = yield from queues.check_bounds(keys, self._kept, self._keep)
        self.broken += found
        self.warnings += warnings
        self.broken += yield from queues.check_names(keys, self._kept)
        self.broken += yield from queues.check_singles(keys)
        self.broken += yield from queues.check_tokens(keys, self._kept)

    def _count_long(self, queue: str) -> Conversation[queues.Count | None]:
        """The count of a long list that has been still since the audit began."""
        before = self._outlines.get(queue)
        if before is None:
            return None
        tombstones = yield from self._jobs.tombstones(queue, int(before[0] or 0))
        if before != (yield from queues.outline(self._keys, queue)):
            return None
        return queues.count_of(queue, before, tombstones)

    def _look_aside(self) -> Conversation[None]:
        length, newest = yield [
            ("LLEN", self._keys.aside),
            ("LRANGE", self._keys.aside, -_MOST_ASIDE, -1),
        ]
        if length:
            reasons = [
                entry.partition("\n")[0].partition(" ")[2]
                for entry in words(newest or ())
            ]
            self.warnings.append(
                f"{length} entries are kept aside, for nobody could understand them "
                f"(and {self._aside} keys). The newest: {'; '.join(reasons)}."
            )
