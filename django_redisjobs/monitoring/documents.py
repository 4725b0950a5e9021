"""A snapshot as plain values that JSON can carry."""

from __future__ import annotations

from typing import Any

from django_redisjobs import connections
from django_redisjobs.core.records import JobStatus
from django_redisjobs.monitoring.reading import QueueView, Snapshot
from django_redisjobs.snapshots import iso


def document(snapshot: Snapshot) -> dict[str, Any]:
    """What ``manage.py redisjobs stats --json`` prints and ``stats.json`` answers."""
    return {
        "time": iso(snapshot.now_ms),
        "server": connections.describe(),
        "queues": [_queue(view) for view in snapshot.queues],
        "workers": {"alive": len(snapshot.alive), "dead": len(snapshot.silent)},
    }


def _queue(view: QueueView) -> dict[str, Any]:
    counts, paused = view.counts, view.counts.paused
    return {
        "queue": counts.queue,
        **{status.value: getattr(counts, status.value) for status in JobStatus},
        "oldest_waits_seconds": round(view.oldest_seconds, 3),
        "per_minute": round(view.per_minute, 1),
        "paused": paused
        and {
            "reason": paused.reason,
            "by": paused.by,
            "since": iso(paused.since_ms),
            "until": iso(paused.until_ms),
        },
    }
