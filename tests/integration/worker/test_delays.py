"""Jobs that run later: by whom, and not before their time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from django_redisjobs import JobStatus, get_queue
from tests.integration.worker import jobs
from tests.integration.worker.conftest import sleepers, until

# Redis keeps whole milliseconds.
ROUNDED = timedelta(milliseconds=1)
# For a busy machine. Who does not know what is due looks after a quarter of a minute.
LATE = timedelta(seconds=5)

pytestmark = pytest.mark.usefixtures("redisjobs")


def test_an_idle_worker_wakes_when_a_job_is_due(own_server, start):
    server, settings = own_server
    with server.client() as client:
        start(settings=settings)
        assert jobs.add.delay(0, 0).result(timeout=60) == 0
        until(lambda: len(sleepers(client)) == 2)
    when = datetime.now(UTC) + timedelta(seconds=0.5)

    handles = [
        jobs.add.using(run_after=0.5).delay(1, 1),
        jobs.add.using(run_after=timedelta(seconds=0.5)).delay(1, 2),
        jobs.add.using(run_after=when).delay(1, 3),
        get_queue("low").enqueue_in("0.5s", jobs.add, 1, 4),
        get_queue("low").enqueue_at(when, jobs.add.path, 1, 5),
    ]

    assert [handle.result(timeout=60) for handle in handles] == [2, 3, 4, 5, 6]
    infos = [handle.info() for handle in handles]
    assert min(info.started_at for info in infos) >= when - ROUNDED
    assert max(info.started_at - info.due_at for info in infos) < LATE


def test_what_came_due_while_no_worker_was_up_runs_when_one_is(start):
    now = datetime.now(UTC)
    handles = [
        jobs.add.using(run_after=timedelta(milliseconds=200)).delay(number, 0)
        for number in range(20)
    ]
    later = jobs.add.using(run_after="1h").delay(0, 0)
    until(lambda: datetime.now(UTC) > now + timedelta(seconds=1))
    assert {handle.status() for handle in handles} == {JobStatus.SCHEDULED}

    assert start(burst=True).wait() == 0

    assert [handle.result(timeout=0) for handle in handles] == list(range(20))
    assert later.status() is JobStatus.SCHEDULED


def test_who_is_free_knows_what_is_due_while_another_is_busy(own_server, start):
    """Nobody wakes it then; and it may have gone to sleep before either was enqueued."""
    server, settings = own_server
    with server.client() as client:
        start(processes=2, settings=settings)
        until(lambda: len(sleepers(client)) == 3)
        long = jobs.pass_gate.using(run_after=1).delay()
        short = jobs.add.using(run_after=1.5).delay(1, 2)

        assert short.result(timeout=60) == 3

        info = short.info()
        assert info.started_at - info.due_at < timedelta(seconds=3)
        assert long.status() is JobStatus.RUNNING
        client.rpush(f"{settings['PREFIX']}:gate", "open")
        long.result(timeout=60)


@pytest.mark.slow
def test_thousands_that_are_due_at_one_instant_all_run(start):
    when = datetime.now(UTC) + timedelta(seconds=1)
    calls = [(number, 1) for number in range(3000)]
    handles = jobs.add.using(run_after=when).delay_many(calls)

    start(processes=2)

    assert [handle.result(timeout=60) for handle in handles] == list(range(1, 3001))
    assert min(handle.info().started_at for handle in handles[::100]) >= when - ROUNDED
