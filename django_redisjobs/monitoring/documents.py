"""A snapshot as plain values that JSON can carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django_redisjobs import connections
from django_redisjobs.core.records import JobStatus
from django_redisjobs.monitoring.reading import QueueView, Snapshot
from django_redisjobs.monitoring.spreads import PERCENTILES, Spread, Timings
from django_redisjobs.outbox import Waiting
from django_redisjobs.snapshots import iso


def document(snapshot: Snapshot, outboxes: Sequence[Waiting] = ()) -> dict[str, Any]:
    """What ``stats.json`` and ``manage.py redisjobs stats --json`` answer."""
    found = {
        "time": iso(snapshot.now_ms),
        "server": connections.describe(),
        "queues": [_queue(view) for view in snapshot.queues],
        "workers": {"alive": len(snapshot.alive), "dead": len(snapshot.silent)},
    }
    if outboxes:
        found["outbox"] = [_outbox(waiting) for waiting in outboxes]
    return found


def _outbox(waiting: Waiting) -> dict[str, Any]:
    return {
        "database": waiting.alias,
        "jobs": None if waiting.trouble else waiting.jobs,
        "oldest_seconds": waiting.oldest_seconds if waiting.jobs else None,
        "trouble": waiting.trouble or None,
    }


def _queue(view: QueueView) -> dict[str, Any]:
    counts, paused = view.counts, view.counts.paused
    return {
        "queue": counts.queue,
        **{status.value: getattr(counts, status.value) for status in JobStatus},
        "oldest_waits_seconds": round(view.oldest_seconds, 3),
        "per_minute": round(view.per_minute, 1),
        "last_hour": _timings(view.timings),
        "paused": paused
        and {
            "reason": paused.reason,
            "by": paused.by,
            "since": iso(paused.since_ms),
            "until": iso(paused.until_ms),
        },
    }


def _timings(timings: Timings) -> dict[str, Any]:
    return {
        "runs": timings.run.total,
        "wait_seconds": _percentiles(timings.wait),
        "run_seconds": _percentiles(timings.run),
    }


def _percentiles(spread: Spread) -> dict[str, float] | None:
    found = spread.percentiles()
    if found is None:
        return None
    named = zip(PERCENTILES, found, strict=True)
    return {f"p{percent}": round(seconds, 4) for percent, seconds in named}
