"""The newest failed jobs, as little of each as tells them apart.

Arguments and tracebacks may be long: of a record only its beginning is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from .exceptions import PayloadMalformed
from .keys import GroupKeys
from .listing import scored
from .records import AttemptRecord, JobStatus
from .scripts import Command, Conversation
from .texts import encodable_json

BEGINNING: Final = 1024
"""Bytes of a record in which its function's name stands."""
LONGEST_REASON: Final = 200
PEAK: Final = "; its peak memory was"
"""In the message of a crash: what follows differs from one to the next."""
_FUNCTION: Final = re.compile(r'^\["((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """A failed job. ``function`` is "" where nobody can read it, and so is ``body``
    where it is longer than what was read.

    ``reason`` is the class of the exception; where there was none, what is known
    instead: that its process crashed, say, and how it ended, but not its memory.
    """

    keys: GroupKeys
    id: str
    queue: str
    failed_ms: int
    function: str
    reason: str
    message: str
    body: str


@dataclass(frozen=True, slots=True)
class Failures:
    """The ``newest`` of ``total`` jobs that failed since a moment and are kept."""

    total: int
    newest: tuple[FailureRecord, ...]

    @property
    def is_cut(self) -> bool:
        """Whether there are more than were looked at."""
        return self.total > len(self.newest)


def newest_failures(
    places: Sequence[tuple[GroupKeys, str]], since_ms: int, limit: int
) -> Conversation[Failures]:
    """At most ``limit`` failures of these queues, newest first, in two round trips."""
    if not places:
        return Failures(0, ())
    commands: list[Command] = []
    for keys, queue in places:
        key = keys.ended(JobStatus.FAILED, queue)
        commands += (
            ("ZCOUNT", key, since_ms, "+inf"),
            ("ZREVRANGE", key, 0, limit - 1, "WITHSCORES"),
        )
    replies = yield commands
    total = sum(int(count or 0) for count in replies[::2])
    found = [
        (failed_ms, keys, queue, job_id)
        for (keys, queue), reply in zip(places, replies[1::2], strict=True)
        for job_id, failed_ms in scored(reply)
        if failed_ms >= since_ms
    ]
    # Within one millisecond by id: queues would else decide.
    found.sort(key=lambda each: (each[0], each[3]), reverse=True)
    records = yield from _described(found[:limit])
    return Failures(total, tuple(records))


def _described(
    found: Sequence[tuple[int, GroupKeys, str, str]],
) -> Conversation[list[FailureRecord]]:
    if not found:
        return []
    commands: list[Command] = []
    for _failed_ms, keys, _queue, job_id in found:
        commands += (
            ("GETRANGE", keys.job(job_id), 0, BEGINNING - 1),
            ("LRANGE", keys.attempts(job_id), -1, -1),
        )
    replies = yield commands
    records = []
    for index, (failed_ms, keys, queue, job_id) in enumerate(found):
        beginning, attempts = replies[index * 2 : index * 2 + 2]
        reason, message = _reason(attempts)
        body, is_whole = _body(beginning or b"")
        records.append(
            FailureRecord(
                keys,
                job_id,
                queue,
                failed_ms,
                function_at(body),
                reason,
                message,
                body if is_whole else "",
            )
        )
    return records


def _body(beginning: bytes) -> tuple[str, bool]:
    """As much of a body as there is, and whether that is all of it."""
    _header, _, rest = beginning.partition(b"\n")
    body, end, _ = rest.partition(b"\n")
    # An ended job's record goes on behind it.
    return encodable_json(body.decode(errors="replace")), bool(end)


def function_at(body: str) -> str:
    """The function's path at the beginning of a body; "" where there is none."""
    match = _FUNCTION.match(body)
    try:
        return str(json.loads(f'"{match[1]}"')) if match else ""
    except ValueError:
        return ""


def _reason(attempts: Any) -> tuple[str, str]:
    try:
        last = AttemptRecord.from_json((attempts or (b"",))[-1])
    except PayloadMalformed:
        return "", ""
    message = str(last.message)
    reason = str(last.exception_class) or message.partition(PEAK)[0]
    return _line(reason), _line(message)


def _line(text: str) -> str:
    return (text.splitlines() or [""])[0][:LONGEST_REASON]
