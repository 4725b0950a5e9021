"""Jobs that failed, and jobs that wait."""

from __future__ import annotations

from django_redisjobs import JobStatus, get_job, get_queue, job
from django_redisjobs.testing import run_jobs


@job(queue="high", retry=0)
def charge(order_id: int) -> None:
    raise ConnectionError("the bank is away")


@job
def remind(user_id: int) -> None: ...


@job
def report(year: int) -> None: ...


failed = [charge.delay(number).id for number in range(3)]
run_jobs(raise_errors=False)
waiting = report.delay(2026).id
soon = get_queue("high").enqueue_in("1h", "shop.jobs.report", 2027).id
reminder = remind.using(run_after="1d").delay(7).id


def check() -> None:
    assert {get_job(job_id).status() for job_id in failed} == {JobStatus.PENDING}
    assert get_job(reminder).status() is JobStatus.CANCELLED
    assert get_job(waiting).info().queue == "low"
    assert get_job(soon).status() is JobStatus.PENDING
