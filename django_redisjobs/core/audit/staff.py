"""Looking at workers: their leases, and whether what they hold is theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.scripts import SCRIPTS, Conversation, word, words

from .findings import Finding, Mend

_ROSTER = SCRIPTS["roster"]
_LONGEST_LEASE_MS: Final = 3_600_000
_WHY: Final = {
    "malformed": "is no entry",
    "missing": "is of a job that has no record",
    "wrong": "is of a job that has no record",
    "bad": "is of a job whose record is unreadable",
    "ended": "is of a job that has ended",
    "stateless": "is of a job whose state is gone",
    "stale": "is no claim of that job any more",
    "twice": "stands there twice",
}


@dataclass(frozen=True, slots=True)
class Roster:
    """One worker. ``entries``: what it holds, and whether that is its own."""

    worker: str
    lease_ms: float | None
    registered: bool
    entries: tuple[tuple[str, str], ...]
    now_ms: int

    @classmethod
    def parse(cls, worker: str, reply: Sequence[Any]) -> Roster:
        flat = words(reply[4])
        lease = word(reply[2])
        return cls(
            worker,
            float(lease) if lease else None,
            bool(int(reply[3])),
            tuple(zip(flat[::2], flat[1::2], strict=True)),
            int(reply[1]),
        )

    @property
    def is_dead(self) -> bool:
        """Its lease is over; any step rescues it."""
        return self.lease_ms is not None and self.lease_ms <= self.now_ms

    @property
    def stateless(self) -> Iterator[str]:
        """Jobs that it holds, of which nothing but that is known."""
        for entry, verdict in self.entries:
            if verdict == "stateless":
                yield entry.partition(" ")[0]


def look_at_all(
    keys: GroupKeys, others: Sequence[str] = ()
) -> Conversation[list[Roster]]:
    """All registered workers, and these others."""
    (raw,) = yield [("ZRANGE", keys.workers, 0, -1)]
    found = []
    for worker in dict.fromkeys([*words(raw or ()), *others]):
        (reply,) = yield [_ROSTER.bind(keys, worker=worker)]
        found.append(Roster.parse(worker, reply))
    return found


def judge(roster: Roster, lease_ms: int) -> Iterator[Finding]:
    """What is broken of a worker and of what it holds. All of it is of one moment."""
    yield from _lease_faults(roster, lease_ms)
    if roster.lease_ms is None and not roster.registered:
        return
    for entry, verdict in roster.entries:
        if verdict == "held":
            continue
        place = f"claimed:{roster.worker}"
        code = "record-missing" if verdict in ("missing", "wrong") else "wrong-entry"
        yield Finding(
            code,
            place,
            f"{place} has {entry!r}, which {_WHY[verdict]}.",
            Mend("entry", entry, place),
        )


def _lease_faults(roster: Roster, lease_ms: int) -> Iterator[Finding]:
    worker, held = roster.worker, len(roster.entries)
    rescue = Mend("rescue", worker)
    if roster.lease_ms is None and roster.registered:
        yield Finding(
            "no-lease",
            f"worker:{worker}",
            f"Worker {worker} is registered and has no lease: nobody would rescue it.",
            Mend("lease", worker),
        )
    elif roster.lease_ms is None and held:
        yield Finding(
            "unknown-worker",
            f"claimed:{worker}",
            f"{held} jobs are claimed by worker {worker}, which nobody knows.",
            rescue,
        )
    elif roster.lease_ms is not None and not roster.registered:
        yield Finding(
            "no-worker",
            f"worker:{worker}",
            f"Worker {worker} has a lease and is not registered.",
            rescue,
        )
    elif roster.lease_ms is not None:
        left_ms = roster.lease_ms - roster.now_ms
        if left_ms > max(_LONGEST_LEASE_MS, 10 * lease_ms):
            yield Finding(
                "long-lease",
                f"worker:{worker}",
                f"Worker {worker} has a lease for {left_ms / 3_600_000:,.0f} h more: "
                "if it dies, nobody would rescue it.",
                Mend("lease", worker),
            )
