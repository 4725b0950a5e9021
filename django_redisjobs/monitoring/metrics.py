"""The day so far in the text format of Prometheus. Pure: numbers in, text out.

What ended is counted since midnight UTC: from counters that live in Redis, so that it does
not matter which of a site's processes answers. That a counter begins again at 0 is
what Prometheus expects of one whose program was started anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django_redisjobs.core.records import JobStatus
from django_redisjobs.monitoring.reading import Day
from django_redisjobs.monitoring.tallies import NOTHING

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES: Final = (
    "succeeded",
    "failed",
    "retried",
    "cancelled",
    "crashed",
    "expired",
)

Sample = tuple[dict[str, str], float]


def text(day: Day) -> str:
    """All metrics; each has its name, what it means, and one line a value."""
    return "".join(line for family in _families(day) for line in _lines(*family))


def _families(day: Day) -> Iterator[tuple[str, str, str, list[Sample]]]:
    views = day.snapshot.queues
    yield (
        "jobs",
        "gauge",
        "Jobs that are in Redis, by queue and status.",
        [
            (
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
        "How long the job at the head of a queue waits already.",
        [({"queue": view.counts.queue}, view.oldest_seconds) for view in views],
    )
    yield (
        "queue_paused",
        "gauge",
        "1 while workers leave a queue alone.",
        [({"queue": view.counts.queue}, bool(view.counts.paused)) for view in views],
    )
    yield (
        "workers",
        "gauge",
        "Worker processes, by whether their lease lasts.",
        [
            ({"state": "alive"}, len(day.snapshot.alive)),
            ({"state": "silent"}, len(day.snapshot.silent)),
        ],
    )
    yield (
        "workers_lost",
        "gauge",
        "Worker processes that died or fell silent within 24 hours; 100 at most.",
        [({}, len(day.lost))],
    )
    yield from _counters(day)


def _counters(day: Day) -> Iterator[tuple[str, str, str, list[Sample]]]:
    tallies = [
        (view.counts.queue, day.ended.get(view.counts.queue, NOTHING))
        for view in day.snapshot.queues
    ]
    yield (
        "outcomes_total",
        "counter",
        "What came of runs and jobs since midnight UTC, by queue.",
        [
            ({"queue": queue, "outcome": outcome}, getattr(tally, outcome))
            for queue, tally in tallies
            for outcome in OUTCOMES
        ],
    )
    yield (
        "runs_total",
        "counter",
        "Runs that came to an end of their own since midnight UTC.",
        [({"queue": queue}, tally.runs) for queue, tally in tallies],
    )
    yield (
        "run_seconds_total",
        "counter",
        "How long these ran, together.",
        [({"queue": queue}, tally.run_ms / 1000) for queue, tally in tallies],
    )
    yield (
        "wait_seconds_total",
        "counter",
        "How long their jobs were ready before, together.",
        [({"queue": queue}, tally.wait_ms / 1000) for queue, tally in tallies],
    )


def _lines(name: str, kind: str, meaning: str, samples: list[Sample]) -> Iterator[str]:
    name = f"redisjobs_{name}"
    yield f"# HELP {name} {meaning}\n"
    yield f"# TYPE {name} {kind}\n"
    for labels, value in samples:
        named = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels.items())
        whole = f"{name}{{{named}}}" if named else name
        yield f"{whole} {_number(value)}\n"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"
