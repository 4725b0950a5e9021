"""What is known of one job at one moment, and what of that is broken. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django_redisjobs.core.scripts import word, words

from .findings import Finding, Mend

_LIVE_STATUSES: Final = frozenset({"pending", "scheduled", "running", "parked"})


@dataclass(frozen=True, slots=True)
class Facts:
    """``kind`` of the record: none, wrong (type), bad (no record), live, ended.

    ``is_listed``: among those with attempts or a result beside their record.
    ``places``: the sets of its own queue that have it. ``held``: its worker's list
    has its entry. ``near``: its id is near an end of the plain list. ``there``: it is
    in the place that was looked into besides.
    """

    id: str
    kind: str
    queue: str
    priority: str
    due_ms: str
    ended: str
    state_kind: str
    status: str
    token: str
    alone: bool
    no_counts: str
    has_result: bool
    has_attempts: bool
    is_listed: bool
    places: frozenset[str]
    held: bool
    near: bool
    there: bool
    fingerprint: bytes

    @classmethod
    def parse(cls, job_id: str, raw: Sequence[Any]) -> Facts:
        """One job of the reply of ``look``."""
        kind, queue, priority, due_ms, ended, state_kind, status, token = words(raw[:8])
        return cls(
            id=job_id,
            kind=kind,
            queue=queue,
            priority=priority,
            due_ms=due_ms,
            ended=ended,
            state_kind=state_kind,
            status=status,
            token=token,
            alone=bool(raw[8]),
            no_counts=word(raw[9]),
            has_result=bool(raw[10]),
            has_attempts=bool(raw[11]),
            is_listed=bool(raw[12]),
            places=frozenset(words(raw[13])),
            held=bool(raw[14]),
            near=bool(raw[15]),
            there=bool(raw[16]),
            fingerprint=raw[17],
        )

    @property
    def expected(self) -> str:
        """The kind of place where it belongs; empty for what is no job."""
        if self.kind == "ended":
            return self.ended
        if self.kind != "live":
            return ""
        if self.status == "running":
            return "claimed"
        if self.status in ("scheduled", "parked"):
            return self.status
        if not self.status and "scheduled" in self.places:
            return "scheduled"
        if self.alone:
            return "alone"
        return "pending" if self.priority == "0" else "priority"

    @property
    def is_clear(self) -> bool:
        """Whether its status is one, so that it can be said where it belongs."""
        has_state = self.kind == "live" and self.state_kind == "hash"
        return not has_state or self.status in _LIVE_STATUSES

    @property
    def waits_in_list(self) -> bool:
        """Whether it belongs into its queue's plain list, which no look goes through."""
        return self.is_clear and self.expected == "pending"

    @property
    def says(self) -> str:
        """What its record and its state say of it, for people."""
        if self.kind == "ended":
            return f"has ended as {self.ended}"
        status = self.status or (
            "scheduled" if self.expected == "scheduled" else "pending"
        )
        return f"is {status} in {self.queue}"


def judge(facts: Facts) -> Iterator[Finding]:
    """What is broken of a job, but for its absence from the plain list."""
    if facts.kind == "none":
        yield from _left_over(facts)
    elif facts.kind == "bad":
        yield Finding(
            "not-a-record",
            f"job:{facts.id}",
            f"job:{facts.id} is no job's record: nobody could run it.",
            Mend("set_aside", facts.id, "", facts.fingerprint),
        )
    elif facts.kind in ("live", "ended"):
        yield from _state_faults(facts)
        yield from _list_faults(facts)
        if facts.is_clear:
            yield from _place_faults(facts)


def judge_entry(facts: Facts, place: str) -> Iterator[Finding]:
    """What is broken about a job's id in the set or list ``place``."""
    if not facts.there:
        return
    remove = Mend("remove", facts.id, place, facts.fingerprint)
    if facts.kind in ("none", "wrong"):
        yield Finding(
            "record-missing",
            place,
            f"{place} has {facts.id}, of which is no record.",
            remove,
        )
    elif facts.kind == "bad":
        yield Finding(
            "record-missing",
            place,
            f"{place} has {facts.id}, whose record is unreadable.",
            remove,
        )
    elif facts.is_clear and place != f"{facts.expected}:{facts.queue}":
        yield _stray(facts, place)


def _left_over(facts: Facts) -> Iterator[Finding]:
    for kind, is_there in (
        ("state", facts.state_kind == "hash"),
        ("result", facts.has_result),
        ("attempts", facts.has_attempts),
    ):
        if is_there:
            yield Finding(
                f"orphan-{kind}",
                f"{kind}:{facts.id}",
                f"{kind}:{facts.id} is of a job that has no record.",
                Mend("forget", facts.id, "", facts.fingerprint),
            )


def _state_faults(facts: Facts) -> Iterator[Finding]:
    where = f"state:{facts.id}"
    mend = Mend("state", facts.id, "", facts.fingerprint)
    if facts.kind == "ended":
        if facts.state_kind == "hash":
            yield Finding(
                "state-of-ended",
                where,
                f"Job {facts.id} {facts.says}, and has a state as if it went on.",
                mend,
            )
        return
    if facts.has_result:
        yield Finding(
            "result-of-live",
            f"result:{facts.id}",
            f"Job {facts.id} {facts.says}, and has a result.",
            Mend("result", facts.id, "", facts.fingerprint),
        )
    if facts.state_kind != "hash":
        return
    if facts.status not in _LIVE_STATUSES:
        yield Finding(
            "wrong-state",
            where,
            f"Job {facts.id} has a state with the status {facts.status!r}.",
            mend,
        )
    elif facts.no_counts:
        yield Finding(
            "wrong-state",
            where,
            f"Job {facts.id} has a state whose {facts.no_counts} is no count.",
            mend,
        )
    elif bool(facts.token) != (facts.status == "running"):
        has = "a" if facts.token else "no"
        yield Finding(
            "wrong-state",
            where,
            f"Job {facts.id} {facts.says}, and has {has} token of a claim.",
            mend,
        )


def _list_faults(facts: Facts) -> Iterator[Finding]:
    has_result = facts.has_result and facts.kind == "ended"
    if (facts.has_attempts or has_result) and not facts.is_listed:
        yield Finding(
            "not-listed",
            "beside",
            f"Job {facts.id} has attempts or a result, which would outlive it.",
            Mend("beside", facts.id, "", facts.fingerprint),
        )


def _place_faults(facts: Facts) -> Iterator[Finding]:
    expected = facts.expected
    for kind in sorted(facts.places - {expected}):
        yield _stray(facts, f"{kind}:{facts.queue}")
    if expected == "claimed":
        missing = not facts.held
    else:
        missing = not facts.waits_in_list and expected not in facts.places
    if missing:
        yield no_place(facts)


def no_place(facts: Facts) -> Finding:
    """A job that nobody would ever run, or find."""
    place = f"{facts.expected}:{facts.queue}"
    if facts.expected == "claimed":
        place = "the list of its worker"
    return Finding(
        "no-place",
        f"job:{facts.id}",
        f"Job {facts.id} {facts.says}, and is not in {place}: nobody would find it.",
        Mend("place", facts.id, "", facts.fingerprint),
    )


def _stray(facts: Facts, place: str) -> Finding:
    return Finding(
        "wrong-place",
        place,
        f"{place} has {facts.id}, which {facts.says}.",
        Mend("remove", facts.id, place, facts.fingerprint),
    )
