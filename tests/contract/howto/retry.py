"""Jobs that have failed, and staff to be told."""

from __future__ import annotations

from django_redisjobs import JobStatus, get_job, job
from django_redisjobs.testing import run_jobs

told = []


def notify_staff(args: object, error: str) -> None:
    told.append((args, error))


@job(retry=0)
def fail() -> None:
    raise ValueError("once")


@job(retry=0)
def charge(order_id: int) -> str:
    raise ConnectionError("the bank is away")


job_id = fail.delay().id
charged = charge.delay(7).id
run_jobs(raise_errors=False)
assert get_job(job_id).status() is JobStatus.FAILED


def check() -> None:
    assert get_job(job_id).status() is JobStatus.PENDING
    assert get_job(charged).status() is JobStatus.PENDING
    run_jobs(raise_errors=False)
    assert get_job(job_id).status() is JobStatus.FAILED
    assert get_job(charged).status() is JobStatus.SUCCEEDED
    # What the page's own callback does.
    globals()["unpaid"].delay(job_id)
    run_jobs()
    assert told == [((), "ValueError: once")]
