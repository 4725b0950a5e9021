"""``EAGER``: jobs run at once, in the process that enqueues them. No Redis is needed.

Each job runs once, when its transaction commits. What it raises is kept for its
handle and logged, and does not disturb who enqueued it.
"""

from __future__ import annotations

from collections.abc import Sequence

from django_redisjobs.core.records import NewJob
from django_redisjobs.core.settlements import Settlement
from django_redisjobs.delivery import Outgoing, announce
from django_redisjobs.enqueueing import DivertedHook
from django_redisjobs.offline import OfflineJob
from django_redisjobs.worker.direct import Desk, DirectExecution
from django_redisjobs.worker.logs import JobLog


class EagerSink:
    """Runs what it takes."""

    def hold(self, outgoing: Outgoing, hook: DivertedHook) -> None:
        """Nothing runs before the commit."""

    def take(self, outgoing: Outgoing) -> None:
        jobs = [OfflineJob(job, run) for job in outgoing.jobs]
        announce([outgoing])
        for job in jobs:
            run(job)


def run(job: OfflineJob) -> None:
    """Run one job here and now, and then what its end calls for."""
    attempt(job, DirectExecution(JobLog("eager"), retries=False))
    callback: NewJob | None = job.callback()
    if callback is not None:
        run(OfflineJob(callback, run))


def attempt(
    job: OfflineJob, execution: DirectExecution
) -> tuple[Sequence[Settlement], BaseException | None]:
    """One attempt; gives what came of it and what it raised."""
    desk = Desk()
    claimed = job.claim()
    try:
        raised = execution.attempt(claimed, desk)
    finally:
        for settlement in desk.outcomes:
            job.settle(settlement)
    return desk.outcomes, raised


sink = EagerSink()
