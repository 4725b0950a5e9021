"""Jobs that take too long, and jobs that somebody cancels."""

from __future__ import annotations

import pytest

from django_redisjobs import JobStatus, Retry
from django_redisjobs.exceptions import JobCancelled, JobFailed
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

pytestmark = pytest.mark.usefixtures("redisjobs")


@pytest.mark.parametrize(
    ("function", "threads"),
    [(jobs.sleep, 1), (jobs.spin, 3), (jobs.sleep_async, 1)],
    ids=["main thread", "thread", "loop"],
)
def test_a_timeout_interrupts_the_job(start, function, threads):
    worker = start(threads=threads)
    pid = jobs.whoami.delay().result(timeout=60)[0]

    handle = function.using(timeout=0.3).delay(60)

    with pytest.raises(JobFailed) as caught:
        handle.result(timeout=60)
    (attempt,) = handle.info().attempts
    assert attempt.outcome == "timeout"
    assert attempt.exception_class == "django_redisjobs.exceptions.JobTimeout"
    assert "timeout of 0.3 s" in attempt.message
    assert "jobs.py" in caught.value.traceback
    assert jobs.whoami.delay().result(timeout=60)[0] == pid
    assert worker.stop() == 0


def test_what_a_coroutine_has_begun_ends_with_it(start, events):
    start()

    handle = jobs.sleep_in_group.using(timeout=0.3).delay(60)

    assert handle.wait(timeout=60) is JobStatus.FAILED
    assert events.all() == ["child ended"]
    (attempt,) = handle.info().attempts
    assert attempt.outcome == "timeout"
    assert attempt.exception_class == "django_redisjobs.exceptions.JobTimeout"


@pytest.mark.parametrize(
    ("function", "threads"),
    [(jobs.tidy_up, 1), (jobs.tidy_up_async, 1)],
    ids=["main thread", "loop"],
)
def test_a_job_may_catch_its_timeout(start, function, threads):
    start(threads=threads)

    handle = function.using(timeout=0.3).delay(60)

    assert handle.result(timeout=60) == "tidied up"


@pytest.mark.parametrize(
    ("function", "threads"),
    [(jobs.hold, 1), (jobs.ignore_interrupts, 3), (jobs.block_loop, 1)],
    ids=["interpreter held", "interrupts ignored", "loop blocked"],
)
def test_a_job_that_ignores_its_timeout_is_killed_with_its_process(
    start, function, threads
):
    worker = start(threads=threads, overrun=0.5)

    handle = function.using(timeout=0.3).delay(60)

    assert handle.wait(timeout=60) is JobStatus.FAILED
    info = handle.info()
    (attempt,) = info.attempts
    assert (attempt.outcome, info.crashes) == ("timeout", 0)
    assert "killed" in attempt.message
    assert jobs.add.delay(1, 1).result(timeout=60) == 2
    assert worker.stop() == 0


def test_a_hard_timeout_is_retried_like_any_error(start, events):
    start(overrun=0.2)

    handle = jobs.stubborn.using(timeout=0.2).delay(60)

    assert events.wait() == ["started", "1"]
    assert events.wait() == ["started", "2"]
    assert handle.info().crashes == 0


def test_neighbours_of_a_killed_job_are_not_charged(start, events):
    worker = start(threads=3, overrun=0.3)
    neighbour = jobs.sleep.using(retry=Retry(max=0)).delay(2.5, "neighbour")
    assert events.wait()[1] == "neighbour"

    culprit = jobs.ignore_interrupts.using(timeout=0.3).delay(60, "culprit")

    assert culprit.wait(timeout=60) is JobStatus.FAILED
    assert neighbour.result(timeout=60) == "neighbour"
    info = neighbour.info()
    assert (info.crashes, len(info.attempts)) == (0, 1)
    # It was run twice, of which nothing else tells.
    assert f"back in their queues: {neighbour.id}" in worker.output


@pytest.mark.parametrize(
    ("function", "threads"),
    [(jobs.sleep, 1), (jobs.spin, 3), (jobs.sleep_async, 1)],
    ids=["main thread", "thread", "loop"],
)
def test_cancelling_interrupts_a_running_job(start, function, threads):
    start(threads=threads)
    handle = function.delay(60)
    until(lambda: handle.status() is JobStatus.RUNNING)

    handle.cancel()

    assert handle.wait(timeout=60) is JobStatus.CANCELLED
    with pytest.raises(JobCancelled):
        handle.result(timeout=0)


def test_what_ignores_its_cancelling_is_killed(start, events):
    start(overrun=0.5)
    handle = jobs.hold.delay(60)
    events.wait()

    handle.cancel()

    assert handle.wait(timeout=60) is JobStatus.CANCELLED
    assert handle.info().crashes == 0
    assert jobs.add.delay(1, 1).result(timeout=60) == 2


def test_a_cancelled_job_is_not_retried(start, events):
    start()
    handle = jobs.sleep.using(retry=Retry(max=5, base=0.01)).delay(60)
    events.wait()

    handle.cancel()

    assert handle.wait(timeout=60) is JobStatus.CANCELLED
    assert [attempt.outcome for attempt in handle.info().attempts] == ["cancelled"]


def test_a_late_interrupt_strikes_nothing_else(start):
    """Jobs that end just when their time is over: the worker must survive each."""
    worker = start()
    handles = [
        jobs.sleep.using(timeout=0.05).delay(0.03 + number % 5 * 0.01)
        for number in range(40)
    ]

    statuses = {handle.wait(timeout=60) for handle in handles}

    assert statuses <= {JobStatus.SUCCEEDED, JobStatus.FAILED}
    assert jobs.add.delay(1, 1).result(timeout=60) == 2
    assert worker.stop() == 0
    assert "A new one takes its place" not in worker.output
