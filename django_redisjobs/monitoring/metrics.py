"""The day so far in the text format of Prometheus. Pure: numbers in, text out.

What ended is counted since midnight UTC: from counters that live in Redis, so that it does
not matter which of a site's processes answers. That a counter begins again at 0 is
what Prometheus expects of one whose program was started anew; the buckets of histograms
are such counters, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from django_redisjobs.core.records import JobStatus
from django_redisjobs.monitoring.reading import Day
from django_redisjobs.monitoring.spreads import UNTIMED, Spread
from django_redisjobs.monitoring.tallies import NOTHING
from django_redisjobs.outbox import Waiting

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES: Final = (
    "succeeded",
    "failed",
    "retried",
    "cancelled",
    "crashed",
    "expired",
)

LIMITS_MS: Final = tuple(2**power for power in range(23))
"""Upper ends of the buckets of histograms: 1 ms to about 70 minutes."""


class Sample(NamedTuple):
    """One value: ``part`` is what is added to the metric's name."""

    labels: dict[str, str]
    value: float
    part: str = ""


Family = tuple[str, str, str, list[Sample]]
"""A name, a type, what it means, and its values."""


def text(day: Day, outboxes: Sequence[Waiting] = ()) -> str:
    """All metrics; each has its name, what it means, and one line a value."""
    families = chain(_families(day), _outboxes(outboxes))
    return "".join(line for family in families for line in _lines(*family))


def _families(day: Day) -> Iterator[Family]:
    views = day.snapshot.queues
    yield (
        "jobs",
        "gauge",
        "Jobs that are in Redis, by queue and status.",
        [
            Sample(
                {"queue": view.counts.queue, "status": status.value},
                getattr(view.counts, status.value),
            )
            for view in views
            for status in JobStatus
        ],
    )
    yield (
        "oldest_wait_seconds",
        "gauge",
        "How long the oldest pending job of a queue waits already.",
        [Sample({"queue": view.counts.queue}, view.oldest_seconds) for view in views],
    )
    yield (
        "queue_paused",
        "gauge",
        "1 while workers leave a queue alone.",
        [
            Sample({"queue": view.counts.queue}, bool(view.counts.paused))
            for view in views
        ],
    )
    yield (
        "workers",
        "gauge",
        "Worker processes, by whether their lease lasts.",
        [
            Sample({"state": "alive"}, len(day.snapshot.alive)),
            Sample({"state": "silent"}, len(day.snapshot.silent)),
        ],
    )
    yield (
        "workers_lost",
        "gauge",
        "Worker processes that died or fell silent within 24 hours; 100 at most.",
        [Sample({}, len(day.lost))],
    )
    yield from _counters(day)
    yield from _histograms(day)


def _outboxes(outboxes: Sequence[Waiting]) -> Iterator[Family]:
    if not outboxes:
        return
    # Of a database that does not answer nothing is said: an absent value is no 0.
    told = [({"database": each.alias}, each) for each in outboxes if not each.trouble]
    yield (
        "outbox_jobs",
        "gauge",
        "Jobs in the outbox of a database, which Redis does not have yet.",
        [Sample(named, each.jobs) for named, each in told],
    )
    yield (
        "outbox_oldest_seconds",
        "gauge",
        "How long the oldest job is in the outbox of a database; 0 without any.",
        [Sample(named, each.oldest_seconds) for named, each in told],
    )


def _counters(day: Day) -> Iterator[Family]:
    tallies = [
        (view.counts.queue, day.ended.get(view.counts.queue, NOTHING))
        for view in day.snapshot.queues
    ]
    yield (
        "outcomes_total",
        "counter",
        "What came of runs and jobs since midnight UTC, by queue.",
        [
            Sample({"queue": queue, "outcome": outcome}, getattr(tally, outcome))
            for queue, tally in tallies
            for outcome in OUTCOMES
        ],
    )
    yield (
        "runs_total",
        "counter",
        "Runs that came to an end of their own since midnight UTC.",
        [Sample({"queue": queue}, tally.runs) for queue, tally in tallies],
    )


def _histograms(day: Day) -> Iterator[Family]:
    waits: list[Sample] = []
    runs: list[Sample] = []
    for view in day.snapshot.queues:
        queue = view.counts.queue
        tally = day.ended.get(queue, NOTHING)
        timings = day.timings.get(queue, UNTIMED)
        waits += _histogram(queue, timings.wait, tally.wait_ms)
        runs += _histogram(queue, timings.run, tally.run_ms)
    meaning = (
        "How long jobs were ready before they ran, of all runs since midnight UTC."
    )
    yield "wait_seconds", "histogram", meaning, waits
    meaning = "How long the same runs took, those that were interrupted too."
    yield "run_seconds", "histogram", meaning, runs


def _histogram(queue: str, spread: Spread, sum_ms: int) -> Iterator[Sample]:
    named = {"queue": queue}
    for limit, number in zip(LIMITS_MS, spread.below(LIMITS_MS), strict=True):
        yield Sample({**named, "le": str(limit / 1000)}, number, "_bucket")
    yield Sample({**named, "le": "+Inf"}, spread.total, "_bucket")
    yield Sample(named, sum_ms / 1000, "_sum")
    yield Sample(named, spread.total, "_count")


def _lines(name: str, kind: str, meaning: str, samples: list[Sample]) -> Iterator[str]:
    name = f"redisjobs_{name}"
    yield f"# HELP {name} {meaning}\n"
    yield f"# TYPE {name} {kind}\n"
    for labels, value, part in samples:
        named = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels.items())
        whole = f"{name}{part}{{{named}}}" if named else f"{name}{part}"
        yield f"{whole} {_number(value)}\n"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"
