"""Looking at queues: their counters, pauses and bounds, and what else a group has one of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django_redisjobs.core.keys import SCHEMA_VERSION, GroupKeys
from django_redisjobs.core.records import JobStatus, KeepPolicy
from django_redisjobs.core.scripts import (
    SCRIPTS,
    Conversation,
    clock_ms,
    pairs,
    word,
    words,
)

from .findings import Finding, Mend
from .keyspace import ENDED_PLACES, PLACES, Key

_RECOUNT = SCRIPTS["recount"]
_MOST_TOKENS: Final = 8
_SLACK_COUNT: Final = 100
_SLACK_MS: Final = 600_000
_WHY: Final = {
    "none": "has no record",
    "wrong": "has no record",
    "bad": "has no readable record",
    "twice": "stands there twice",
    "priority": "waits in the order of its priority",
    "alone": "has to run alone",
    "pending": "waits elsewhere",
}
_CODES: Final = {
    "none": "record-missing",
    "wrong": "record-missing",
    "bad": "record-missing",
    "twice": "twice",
}


@dataclass(frozen=True, slots=True)
class Count:
    """Ids in a plain list that no job waits for there, and how many are counted.

    ``counter`` None: what is stored is no number. ``examples``: id and why.
    ``is_long``: it cannot be counted in one go.
    """

    queue: str
    tombstones: int
    counter: int | None
    examples: tuple[tuple[str, str], ...]
    is_long: bool = False


def recount(keys: GroupKeys, queue: str) -> Conversation[Count | None]:
    """Count one list; None when it is too long to be counted in one go."""
    (reply,) = yield [_RECOUNT.bind(keys, queue=queue, mend=0)]
    if word(reply[0]) == "long":
        return None
    flat, counter = words(reply[3]), word(reply[2])
    return Count(
        queue,
        int(reply[1]),
        0 if not counter else _whole(counter),
        tuple(zip(flat[::2], flat[1::2], strict=True)),
    )


def outline(keys: GroupKeys, queue: str) -> Conversation[tuple[Any, ...]]:
    """What of a list and its counter would be another if they changed."""
    replies = yield [
        ("LLEN", keys.pending(queue)),
        ("HGET", keys.tombstones, queue),
        ("LINDEX", keys.pending(queue), 0),
        ("LINDEX", keys.pending(queue), -1),
    ]
    return tuple(replies)


def count_of(queue: str, outlined: Sequence[Any], tombstones: int) -> Count:
    """The count of a list that is too long for ``recount``."""
    counter = word(outlined[1] or b"0")
    return Count(queue, tombstones, _whole(counter), (), is_long=True)


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def judge_count(count: Count) -> Iterator[Finding]:
    """What is wrong with a plain list and its counter."""
    place = f"pending:{count.queue}"
    if count.counter == count.tombstones:
        return
    if count.counter == 0 and count.examples:
        # None of them was ever counted: each is broken by itself.
        for job_id, why in count.examples:
            yield Finding(
                _CODES.get(why, "wrong-place"),
                place,
                f"{place} has {job_id}, which {_reason(why)}.",
                Mend("recount", count.queue, job_id),
            )
        return
    by = None
    if count.is_long and count.counter is not None:
        # Right at any time, however much is cancelled and claimed until then.
        by = count.tombstones - count.counter
    listed = ", ".join(f"{job_id} {_reason(why)}" for job_id, why in count.examples[:5])
    yield Finding(
        "wrong-counter",
        f"tombstones {count.queue}",
        f"{place} has {count.tombstones} ids that no job waits for there, and "
        f"{'no number' if count.counter is None else count.counter} are counted."
        + (f" Among them: {listed}." if listed else ""),
        Mend("recount", count.queue, by=by),
    )


def _reason(why: str) -> str:
    if why.startswith(":"):
        return f"is of queue {why[1:]}"
    return _WHY.get(why, f"is {why}")


def check_bounds(
    keys: GroupKeys, places: Sequence[Key], keep: KeepPolicy
) -> Conversation[tuple[list[Finding], list[str]]]:
    """Ended jobs beyond what is kept: broken, or a warning where nobody could have
    trimmed them since.
    """
    (clock, maintained) = yield [("TIME",), ("GET", keys.base + "maintained")]
    now_ms = clock_ms(clock)
    # Since then nobody may have come to trim.
    cared_ms = _whole(word(maintained or b""))
    cared_ms = now_ms if cared_ms is None else min(now_ms, cared_ms)
    found, warnings = [], []
    for key in places:
        if key.kind not in ENDED_PLACES:
            continue
        bound = keep[JobStatus(key.kind)]
        name = keys.base + key.place
        longest_ms = bound.age_ms + _SLACK_MS
        total, old, neglected = yield [
            ("ZCARD", name),
            ("ZCOUNT", name, "-inf", now_ms - longest_ms),
            ("ZCOUNT", name, "-inf", cared_ms - longest_ms),
        ]
        over = max(0, int(total or 0) - bound.count)
        if over > _SLACK_COUNT or neglected:
            found.append(_beyond(key, max(over, int(neglected or 0))))
        elif old:
            warnings.append(
                f"{key.place} has {old} jobs that are older than KEEP allows; they go "
                "when a worker comes."
            )
    return found, warnings


def _beyond(key: Key, number: int) -> Finding:
    return Finding(
        "beyond-keep",
        key.place,
        f"{key.place} has {number} jobs more, or older, than KEEP allows.",
        Mend("trim", "", key.place),
    )


def check_names(keys: GroupKeys, places: Sequence[Key]) -> Conversation[list[Finding]]:
    """Queues that have jobs and are not among the queues."""
    names = sorted({key.name for key in places if key.kind in PLACES})
    commands = [("SISMEMBER", keys.queues, name) for name in names]
    known = (yield commands) if commands else []
    return [
        Finding(
            "unlisted-queue",
            "queues",
            f"Queue {name} has jobs, and is not in the set of queues.",
            Mend("announce", name),
        )
        for name, is_known in zip(names, known, strict=True)
        if not is_known
    ]


def check_singles(keys: GroupKeys) -> Conversation[list[Finding]]:
    """The schema, the counters, the pauses and the wake-up tokens."""
    schema, maintained, sequence, paused = yield [
        ("GET", keys.schema),
        ("GET", keys.base + "maintained"),
        ("GET", keys.base + "sequence"),
        ("HGETALL", keys.paused),
    ]
    found = []
    if schema is not None and word(schema) != SCHEMA_VERSION:
        found.append(
            Finding(
                "wrong-schema",
                "schema",
                f"The data is of version {word(schema)!r}; this build knows "
                f"{SCHEMA_VERSION}. Run the version of the package that wrote it.",
            )
        )
    for name, value in (("maintained", maintained), ("sequence", sequence)):
        if value is not None and not word(value).isdigit():
            found.append(
                Finding(
                    "not-a-number",
                    name,
                    f"{name} is {word(value)[:60]!r}, which is no number.",
                    Mend("rename", name, "number"),
                )
            )
    for queue, value in pairs(paused).items():
        if not _is_pause(value):
            found.append(
                Finding(
                    "wrong-pause",
                    f"paused {queue}",
                    f"Queue {queue} is paused by what nobody can read: {value[:60]!r}.",
                    Mend("pause", queue),
                )
            )
    return found


def check_tokens(keys: GroupKeys, some: Sequence[Key]) -> Conversation[list[Finding]]:
    """Wake-up tokens beyond their bound."""
    lists = [key for key in some if key.kind == "wake"]
    commands = [("LLEN", keys.base + key.place) for key in lists]
    lengths = (yield commands) if commands else []
    return [
        Finding(
            "too-many-tokens",
            key.place,
            f"{key.place} has {length} tokens, and {_MOST_TOKENS} at most are meant.",
            Mend("trim", "", key.place),
        )
        for key, length in zip(lists, lengths, strict=True)
        if length is not None and length > _MOST_TOKENS
    ]


def _is_pause(value: str) -> bool:
    try:
        until, since, text = value.split(" ", 2)
        document = json.loads(text)
    except ValueError:
        return False
    return (
        (until + since).isdigit()
        and isinstance(document, dict)
        and {"reason", "by"} <= document.keys()
    )
