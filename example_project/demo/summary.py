"""What happened, as the jobs' own records tell it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

from django_redisjobs import JobStatus
from django_redisjobs.models import Job

HEADER = ("function", "jobs", "succeeded", "failed", "runs", "ms each", "note")


def rows(since: datetime, notes: Mapping[str, str]) -> list[tuple[str, ...]]:
    """A row for each job function with jobs enqueued since then."""
    by_function: dict[str, list[Job]] = defaultdict(list)
    for job in Job.objects.filter(enqueued_at__gte=since).iterator():
        by_function[job.function].append(job)
    return [
        row(function, jobs, notes.get(function.rpartition(".")[2], ""))
        for function, jobs in sorted(by_function.items())
    ]


def row(function: str, jobs: list[Job], note: str) -> tuple[str, ...]:
    """The figures of one function."""
    durations = [
        (job.finished_at - job.started_at).total_seconds() * 1000
        for job in jobs
        if job.finished_at and job.started_at
    ]
    mean = sum(durations) / len(durations) if durations else 0.0
    return (
        function,
        str(len(jobs)),
        str(sum(job.status == JobStatus.SUCCEEDED for job in jobs)),
        str(sum(job.status == JobStatus.FAILED for job in jobs)),
        str(sum(job.run for job in jobs)),
        f"{mean:.1f}",
        note,
    )
