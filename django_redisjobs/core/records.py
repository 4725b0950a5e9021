"""What is stored of a job, and how it may change.

A job's record is text: a fixed header line, the body (JSON), and once the job
has ended a line about its end and a JSON document. Scripts read the header
without decoding anything; ``docs/explanation/job-states.md`` draws the states.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from .exceptions import PayloadMalformed
from .texts import encodable_json

ON_SUCCESS: Final = 1
ON_FAILURE: Final = 2
REMEMBERED: Final = 4

LATEST_MS: Final = 2**53
"""Scripts count whole numbers exactly up to here."""


class JobStatus(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    PARKED = "parked"


ENDED: Final = frozenset(
    {
        JobStatus.SUCCEEDED,
        JobStatus.FAILED,
        JobStatus.CANCELLED,
        JobStatus.EXPIRED,
    }
)

_S = JobStatus

TRANSITIONS: Final[Mapping[str, Mapping[JobStatus | None, frozenset[JobStatus]]]] = {
    "enqueue": {None: frozenset({_S.PENDING, _S.SCHEDULED})},
    "promote": {_S.SCHEDULED: frozenset({_S.PENDING})},
    "claim": {_S.PENDING: frozenset({_S.RUNNING, _S.EXPIRED})},
    "take": {
        status: frozenset({_S.RUNNING})
        for status in (_S.SCHEDULED, _S.PENDING, _S.PARKED)
    },
    "settle": {
        _S.RUNNING: frozenset(
            {
                _S.SUCCEEDED,
                _S.FAILED,
                _S.CANCELLED,
                _S.SCHEDULED,
                _S.PENDING,
                _S.PARKED,
            }
        )
    },
    "rescue": {_S.RUNNING: frozenset({_S.PENDING, _S.FAILED, _S.CANCELLED})},
    "cancel": {
        _S.SCHEDULED: frozenset({_S.CANCELLED}),
        _S.PENDING: frozenset({_S.CANCELLED}),
        _S.PARKED: frozenset({_S.CANCELLED}),
        _S.RUNNING: frozenset({_S.RUNNING}),
    },
    "retry": {
        status: frozenset({_S.PENDING}) for status in (*sorted(ENDED), JobStatus.PARKED)
    },
    "unpark": {_S.PARKED: frozenset({_S.PENDING})},
}
"""Each operation, from which status, to which. All else changes nothing.

``delete`` removes a job in any status but ``running``; ``cancel`` of a running
job asks its worker, who settles it; ``take`` of an ended one is a ``retry`` as well.
"""


_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: none that is easily taken for another, and in ASCII's order."""
_PAIRS: Final = [high + low for high in _DIGITS for low in _DIGITS]
# A random byte gives each digit equally often: 256 is a multiple of 32.
_BYTES_TO_DIGITS: Final = (_DIGITS * 8).encode("ascii")

ID_PATTERN: Final = f"[{_DIGITS}]{{20}}"
"""A regular expression for what ``new_id`` makes."""

# Ids that one reading of the clock serves at most.
_LONGEST_RUN: Final = 256


def new_id() -> str:
    """A new job id: 20 characters of base 32, ordered by time of creation.

    44 bits of milliseconds, 16 bits of their fraction and 40 random bits: made by the
    client, so it is known before the job is sent, and sending twice is harmless. The
    fraction keeps one process's jobs of one millisecond in order (RFC 9562, 6.2,
    method 3). Where 100,000 are made a second, two are equal once in centuries. No
    longer, because Redis keeps each twice.
    """
    high, low = divmod(_ticks(), len(_PAIRS))
    return f"{_head(high)}{_PAIRS[low]}{_chances(1)}"


def new_ids() -> Iterator[str]:
    """Ids in order, for as many jobs as there will be: quicker than one by one.

    They are made in runs, longer and longer ones, and within a run as if one came
    a tick after the other: to use them takes longer than that, so that the next
    run is behind them.
    """
    number = 1
    while True:
        high, low = divmod(_ticks(), len(_PAIRS))
        head = _head(high)
        # Those that differ in this pair alone.
        tails = _PAIRS[low : low + number]
        chances = _chances(len(tails))
        for place, tail in enumerate(tails):
            yield f"{head}{tail}{chances[8 * place : 8 * place + 8]}"
        number = min(2 * number, _LONGEST_RUN)


def _ticks() -> int:
    return (time.time_ns() << 16) // 1_000_000


def _head(high: int) -> str:
    """The first ten digits: the time without its last two."""
    p = _PAIRS
    return (
        f"{p[high >> 40 & 1023]}{p[high >> 30 & 1023]}{p[high >> 20 & 1023]}"
        f"{p[high >> 10 & 1023]}{p[high & 1023]}"
    )


def _chances(number: int) -> str:
    """Eight random digits for each of so many."""
    return os.urandom(8 * number).translate(_BYTES_TO_DIGITS).decode("ascii")


# Not a frozen dataclass: making one of those takes four times as long.
class NewJob(NamedTuple):
    """A job to enqueue. Times are milliseconds.

    ``delay_ms`` counts from the server's now, ``due_ms`` is a time since the
    epoch; with neither the job is pending at once. ``ttl_ms`` is how long after
    that it may still start. ``callbacks`` has the bits of ON_SUCCESS, ON_FAILURE.
    With that of REMEMBERED the id is taken once, also long after the job is gone:
    for jobs that may be sent again by somebody else, much later.
    """

    id: str
    queue: str
    body: str
    priority: int = 0
    delay_ms: int | None = None
    due_ms: int | None = None
    ttl_ms: int | None = None
    callbacks: int = 0


@dataclass(frozen=True, slots=True)
class Keep:
    """How long and how many ended jobs of one status are kept in a queue."""

    age_ms: int
    count: int


KeepPolicy = Mapping[JobStatus, Keep]

DEFAULT_KEEP: Final[KeepPolicy] = MappingProxyType(
    {
        JobStatus.SUCCEEDED: Keep(3_600_000, 10_000),
        JobStatus.FAILED: Keep(7 * 86_400_000, 10_000),
        JobStatus.CANCELLED: Keep(3_600_000, 1_000),
        JobStatus.EXPIRED: Keep(3_600_000, 1_000),
    }
)


def keep_text(keep: KeepPolicy) -> str:
    """The policy as scripts read it; a status that is left out has its default."""
    parts = []
    for status, default in DEFAULT_KEEP.items():
        bound = keep.get(status, default)
        parts.append(f"{bound.age_ms} {bound.count}")
    return " ".join(parts)


LogLine = tuple[int, str, str, str]
"""Time in milliseconds, level, logger, text."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One ended attempt.

    ``outcome`` is succeeded, failed, timeout, cancelled or crashed. ``logs``: what it
    logged at its end.
    """

    number: int
    run: int
    worker: str
    started_ms: int
    finished_ms: int
    outcome: str
    exception_class: str = ""
    message: str = ""
    traceback: str = ""
    logs: tuple[LogLine, ...] = ()

    def to_json(self) -> str:
        fields = asdict(self)
        if not self.logs:
            del fields["logs"]
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> AttemptRecord:
        """Raises PayloadMalformed when this is no attempt."""
        try:
            fields = json.loads(text)
            return cls(**{**fields, "logs": log_lines(fields.get("logs"))})
        except (TypeError, ValueError) as error:
            raise PayloadMalformed(f"Not an attempt: {text!r:.200}") from error


def log_lines(stored: Any) -> tuple[LogLine, ...]:
    """Stored lines that are such; what is none is left out."""
    lines = []
    for line in stored if isinstance(stored, list) else ():
        try:
            at_ms, level, logger, text = line
            lines.append((int(at_ms), str(level), str(logger), str(text)))
        except (TypeError, ValueError):
            continue
    return tuple(lines)


@dataclass(frozen=True, slots=True)
class PauseRecord:
    """Why a queue is paused. ``until_ms`` 0: until it is resumed."""

    reason: str
    by: str
    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class JobRecord:
    """All that is stored of a job, at one moment. Texts are JSON, not decoded.

    ``ready_ms``: when a job that has not ended was, or will be, ready once more, after a
    retry say; 0 for the first time.
    """

    id: str
    queue: str
    priority: int
    status: JobStatus
    body: str
    enqueued_ms: int
    due_ms: int
    expires_ms: int
    started_ms: int
    finished_ms: int
    run: int
    attempts: tuple[AttemptRecord, ...]
    attempts_made: int
    crashes: int
    worker: str
    result: str | None
    meta: str | None
    progress: str | None
    error: str | None
    ready_ms: int = 0

    @property
    def shown_body(self) -> str:
        """The body for people. What runs it, or checks its signature, takes it as it is."""
        return encodable_json(self.body)


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A registered worker. ``held`` are the ids of the jobs it has claimed."""

    id: str
    lease_ends_ms: int
    info: Mapping[str, str]
    held: tuple[str, ...]

    @property
    def name(self) -> str:
        """What people call the worker that it is a process of."""
        return self.info.get("name") or self.id

    def is_alive(self, now_ms: int) -> bool:
        """Whether its lease runs, so that it is believed to live."""
        return self.lease_ends_ms > now_ms

    @property
    def pid(self) -> int:
        """0: not known."""
        return _told(self.info.get("pid", ""))

    @property
    def started_ms(self) -> int:
        """When this process began; 0: not known."""
        return _told(self.info.get("started_ms", ""))

    @property
    def worker_started_ms(self) -> int:
        """When the worker was started, however often its processes were replaced."""
        return _told(self.info.get("worker_started_ms", "")) or self.started_ms

    @property
    def queues(self) -> list[str]:
        """Those that it serves, the most important first."""
        return self.info.get("queues", "").split()

    @property
    def version(self) -> str:
        """The version of this package that it runs with; "" for not known."""
        return self.info.get("version", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class LostWorker:
    """A worker that died or fell silent. ``held``: jobs that went back or ended then."""

    worker: str
    reason: str
    at_ms: int
    held: int
    name: str
    host: str
    pid: str
    queues: str
    started_ms: str


@dataclass(frozen=True, slots=True)
class Stacks:
    """What a worker's threads did when somebody asked."""

    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many jobs of a queue are in each status."""

    queue: str
    pending: int = 0
    scheduled: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    parked: int = 0
    paused: PauseRecord | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """The parts of a stored record, and of its end when there is one."""

    queue: str
    priority: int
    enqueued_ms: int
    due_ms: int
    expires_ms: int
    callbacks: int
    body: str
    ended: Ended | None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended, from the third and fourth line of its record."""

    status: JobStatus
    run: int
    attempts: int
    crashes: int
    worker: str
    started_ms: int
    finished_ms: int
    result_expires_ms: int
    document: Mapping[str, Any]


def parse_record(raw: bytes) -> Envelope:
    """Raises PayloadMalformed when this is not a record of this version."""
    try:
        header, _, rest = raw.decode(errors="replace").partition("\n")
        body, _, end = rest.partition("\n")
        version, queue, priority, enqueued_ms, *others = header.split(" ")
        due_ms, expires_ms, callbacks = others + [""] * (3 - len(others))
        if version != "1":
            raise ValueError(f"version {version}")
        return Envelope(
            queue,
            int(priority),
            _time(enqueued_ms),
            _time(due_ms),
            _time(expires_ms),
            int(callbacks or 0),
            body,
            _parse_ended(encodable_json(end)) if end else None,
        )
    except ValueError as error:
        raise PayloadMalformed(f"Not a job's record: {raw!r:.200}") from error


def _time(text: str) -> int:
    """One that is beyond all bounds counts as 0, as it does for scripts."""
    found = int(text or 0)
    return found if 0 <= found <= LATEST_MS else 0


def _told(text: str) -> int:
    """What a worker told of itself: nobody has checked that it is a number."""
    try:
        return _time(text)
    except ValueError:
        return 0


def _parse_ended(end: str) -> Ended:
    line, _, text = end.partition("\n")
    status, run, attempts, crashes, worker, *times = line.split(" ")
    started_ms, finished_ms, result_expires_ms = map(_time, times)
    # Values are kept as JSON text: only their owner knows how to decode them.
    try:
        document = json.loads(text or "{}")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {"error": f"What is stored of its end is unreadable: {text:.200}"}
    return Ended(
        JobStatus(status),
        int(run),
        int(attempts),
        int(crashes),
        worker,
        started_ms,
        finished_ms,
        result_expires_ms,
        document,
    )
