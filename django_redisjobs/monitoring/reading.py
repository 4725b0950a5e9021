"""Asks Redis how the queues are: all of it in at most five round trips.

However many queues, groups and workers there are, what is asked of them travels
together; and no question grows with the number of jobs that are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from django_redisjobs import conf
from django_redisjobs.calls import ask, places
from django_redisjobs.core import failures, inspection, lookup, staff
from django_redisjobs.core.failures import FailureRecord, Failures
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import LostWorker, QueueCounts, WorkerRecord
from django_redisjobs.core.scripts import Conversation, together
from django_redisjobs.monitoring.periods import DAY_MS, HOUR_MS, MINUTE_MS, Period
from django_redisjobs.monitoring.queues import Places, names, standings
from django_redisjobs.monitoring.spreads import UNTIMED, Timings
from django_redisjobs.monitoring.tallies import NOTHING, Tally, by_name
from django_redisjobs.redaction import discreet, unreadable

FAILURES_LOOKED_AT: Final = 500
"""Failed jobs that one overview looks at, the newest."""

Counters = Sequence[dict[str, int]]
Spreads = Sequence[tuple[str, list[bytes]]]


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue, whatever groups have jobs of it. ``per_minute`` are the ends of the last
    sixty seconds, estimated from this minute and the one before; ``timings`` are of the
    last sixty minutes.
    """

    counts: QueueCounts
    oldest_seconds: float
    per_minute: float
    timings: Timings = UNTIMED


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How queues and workers are, at one moment of the server."""

    queues: tuple[QueueView, ...]
    workers: tuple[WorkerRecord, ...]
    now_ms: int

    @property
    def alive(self) -> tuple[WorkerRecord, ...]:
        """Worker processes that are believed to live."""
        return tuple(one for one in self.workers if one.is_alive(self.now_ms))

    @property
    def silent(self) -> tuple[WorkerRecord, ...]:
        """Those whose lease is over; others will take what they held."""
        return tuple(one for one in self.workers if not one.is_alive(self.now_ms))


@dataclass(frozen=True, slots=True)
class History:
    """What ended in a period. ``times`` are (start in ms, tally), oldest first, and
    ``timings`` how long what ended in each of them had waited and run.

    ``minutes``: the last sixty minutes of each queue, whatever the period.
    """

    period: Period
    times: tuple[tuple[int, Tally], ...]
    timings: tuple[Timings, ...]
    functions: Mapping[str, Tally]
    minutes: Mapping[str, tuple[Tally, ...]]


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the first page shows. ``lost``: workers, within a week."""

    snapshot: Snapshot
    history: History
    failures: Failures
    lost: tuple[LostWorker, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """A snapshot, and what ended in each queue since midnight UTC.

    ``lost``: worker processes that died or fell silent within 24 hours.
    """

    snapshot: Snapshot
    ended: Mapping[str, Tally]
    lost: tuple[LostWorker, ...] = ()
    timings: Mapping[str, Timings] = field(default_factory=dict)


def take() -> Snapshot:
    """Ask Redis. Raises ServerUnavailable."""
    return ask(_snapshot())


def take_overview(period: Period) -> Overview:
    """The snapshot, and what ended lately. Raises ServerUnavailable."""
    return ask(_overview(period))


def take_failures(period: Period) -> Failures:
    """The failures that an overview looks at. Raises ServerUnavailable."""
    return ask(_failures(period))


def shown_messages(failures: Sequence[FailureRecord]) -> list[str]:
    """Their messages without what REDACT hides: they may be older than the setting. For
    those whose bodies are long, Redis is asked once more.
    """
    if not conf.get_settings().redact:
        return [failure.message for failure in failures]
    bodies = {failure.id: failure.body for failure in failures if failure.body}
    cut: dict[GroupKeys, list[str]] = {}
    for failure in failures:
        if failure.id not in bodies:
            cut.setdefault(failure.keys, []).append(failure.id)
    asked = [lookup.jobs(keys, ids, brief=True) for keys, ids in cut.items()]
    for record in chain.from_iterable(ask(together(asked)) if asked else ()):
        bodies[record.id] = record.shown_body
    return [
        discreet(failure.message, bodies[failure.id])
        if failure.id in bodies
        else unreadable(failure.message)
        for failure in failures
    ]


def take_day() -> Day:
    """The snapshot, and the day's counters. Raises ServerUnavailable."""
    return ask(_day())


def merged(records: Iterable[WorkerRecord]) -> list[WorkerRecord]:
    """Workers in order. One that serves several groups is in it once."""
    found: dict[str, WorkerRecord] = {}
    for record in records:
        other = found.get(record.id)
        found[record.id] = _joined(other, record) if other else record
    return sorted(found.values(), key=_by_name)


def _joined(one: WorkerRecord, other: WorkerRecord) -> WorkerRecord:
    lease_ends_ms = min(one.lease_ends_ms, other.lease_ends_ms)
    return WorkerRecord(one.id, lease_ends_ms, one.info, one.held + other.held)


def _by_name(record: WorkerRecord) -> tuple[Any, ...]:
    return record.info.get("name", ""), record.pid, record.id


def _opening() -> Conversation[tuple[int, Places]]:
    asked: list[Conversation[Any]] = [inspection.now_ms(), places()]
    now_ms, groups = yield from together(asked)
    return now_ms, groups


def _snapshot() -> Conversation[Snapshot]:
    now_ms, groups = yield from _opening()
    return (yield from _snapshot_of(groups, now_ms))


def _overview(period: Period) -> Conversation[Overview]:
    now_ms, groups = yield from _opening()
    named = [(keys, queue) for keys, queues in groups for queue in queues]
    since_ms = period.since_ms(now_ms)
    asked: list[Conversation[Any]] = [
        _snapshot_of(groups, now_ms),
        _history_of(groups, period, now_ms),
        failures.newest_failures(named, since_ms, FAILURES_LOOKED_AT),
        lost_workers([keys for keys, _ in groups]),
    ]
    snapshot, history, failed, lost = yield from together(asked)
    return Overview(snapshot, history, failed, lost)


def lost_workers(groups: Sequence[GroupKeys]) -> Conversation[tuple[LostWorker, ...]]:
    """Processes that died or fell silent within a week, the newest first."""
    parts = yield from together([staff.lost_workers(keys) for keys in groups])
    # Who served several groups was lost to each of them.
    lost = {one.worker: one for part in parts for one in part}
    return tuple(sorted(lost.values(), key=lambda one: one.at_ms, reverse=True))


def _failures(period: Period) -> Conversation[Failures]:
    now_ms, groups = yield from _opening()
    named = [(keys, queue) for keys, queues in groups for queue in queues]
    since_ms = period.since_ms(now_ms)
    return (yield from failures.newest_failures(named, since_ms, FAILURES_LOOKED_AT))


def _day() -> Conversation[Day]:
    now_ms, groups = yield from _opening()
    midnight_ms = now_ms - now_ms % DAY_MS
    hours = range(midnight_ms // HOUR_MS, now_ms // HOUR_MS + 1)
    asked: list[Conversation[Any]] = [
        _snapshot_of(groups, now_ms),
        together([inspection.statistics(keys, "hour", hours) for keys, _ in groups]),
        lost_workers([keys for keys, _ in groups]),
        _spreads(groups, "hour", hours),
    ]
    snapshot, counted, lost, spreads = yield from together(asked)
    queues = [by_name(hour, "q") for group in counted for hour in group]
    lately = tuple(one for one in lost if one.at_ms > now_ms - DAY_MS)
    return Day(snapshot, _summed(queues), lately, _timings(spreads))


def _snapshot_of(groups: Places, now_ms: int) -> Conversation[Snapshot]:
    minute = now_ms // MINUTE_MS
    asked: list[Conversation[Any]] = [
        standings(groups),
        together([staff.workers(keys) for keys, _ in groups]),
        _minutes(groups, (minute - 1, minute)),
        _spreads(groups, "minute", Period.HOUR.numbers(now_ms)),
    ]
    found, parts, (before, current), spreads = yield from together(asked)
    # Of the last minute only what is left of the sixty seconds counts.
    share = 1 - now_ms % MINUTE_MS / MINUTE_MS
    timings = _timings(spreads)
    views = []
    for counts, seconds in found:
        ended = before.get(counts.queue, NOTHING).ended * share
        ended += current.get(counts.queue, NOTHING).ended
        views.append(QueueView(counts, seconds, ended, timings[counts.queue]))
    workers = merged(chain.from_iterable(parts))
    return Snapshot(tuple(views), tuple(workers), now_ms)


def _minutes(
    groups: Places, numbers: Sequence[int]
) -> Conversation[list[dict[str, Tally]]]:
    """Each queue's tally in each of these minutes."""
    counted = yield from together(
        [inspection.statistics(keys, "minute", numbers) for keys, _ in groups]
    )
    return [_queues_at(counted, place) for place in range(len(numbers))]


def _spreads(
    groups: Places, bucket: str, numbers: Sequence[int]
) -> Conversation[Spreads]:
    """How long runs of each queue took in each of these minutes or hours, as stored: by
    queue, once for each group that it is in.
    """
    found = yield from together(
        [inspection.spreads(keys, bucket, numbers, queues) for keys, queues in groups]
    )
    return [each for group in found for each in group.items()]


def _timings(spreads: Spreads) -> dict[str, Timings]:
    """By queue, of all these minutes or hours together."""
    stored: dict[str, list[bytes]] = {}
    for queue, part in spreads:
        stored.setdefault(queue, []).extend(part)
    return {queue: Timings.read(parts) for queue, parts in stored.items()}


def _queues_at(counted: Sequence[Counters], place: int) -> dict[str, Tally]:
    return _summed(by_name(group[place], "q") for group in counted)


def _history_of(groups: Places, period: Period, now_ms: int) -> Conversation[History]:
    numbers = period.numbers(now_ms)
    asked: list[Conversation[Any]] = [
        _minutes(groups, Period.HOUR.numbers(now_ms)),
        together(
            [inspection.statistics(keys, period.bucket, numbers) for keys, _ in groups]
        ),
        _spreads(groups, period.bucket, numbers),
    ]
    minutes, counted, spreads = yield from together(asked)
    times = tuple(
        (number * period.bucket_ms, Tally.total(_queues_at(counted, place).values()))
        for place, number in enumerate(numbers)
    )
    return History(
        period,
        times,
        tuple(
            Timings.read(stored)
            for stored in zip(*(part for _, part in spreads), strict=True)
        ),
        _summed(by_name(counters, "f") for group in counted for counters in group),
        {
            queue: tuple(minute.get(queue, NOTHING) for minute in minutes)
            for queue in names(groups)
        },
    )


def _summed(parts: Iterable[Mapping[str, Tally]]) -> dict[str, Tally]:
    found: dict[str, list[Tally]] = {}
    for part in parts:
        for name, tally in part.items():
            found.setdefault(name, []).append(tally)
    return {
        name: Tally.total(tallies) if len(tallies) > 1 else tallies[0]
        for name, tallies in found.items()
    }
