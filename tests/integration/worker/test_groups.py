"""A worker that serves queues of several groups."""

from __future__ import annotations

import time

import psutil
import pytest
from django.test import override_settings

from django_redisjobs import conf
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

QUEUES = {"high": {"GROUP": "a"}, "default": {}, "low": {"GROUP": "a"}}


@pytest.fixture(autouse=True)
def in_groups(redisjobs):
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": QUEUES}):
        yield


@pytest.fixture
def begin(start):
    return lambda *queues, **options: start(
        *queues, settings={"QUEUES": QUEUES}, **options
    )


def test_jobs_of_all_groups_run(begin, left_in_redis):
    handles = [
        jobs.add.using(queue=queue).delay(number, 1)
        for number in range(20)
        for queue in QUEUES
    ]

    worker = begin(burst=True, processes=2)

    assert worker.wait() == 0
    found = [handle.result(timeout=0) for handle in handles]
    assert found == [number + 1 for number in range(20) for _ in QUEUES]
    assert not left_in_redis()


def test_an_idle_worker_hears_of_work_in_each_group(begin):
    begin("high", "default", "low")
    assert jobs.add.delay(1, 1).result(timeout=60) == 2

    # Sooner than it would look by itself, which is every five seconds.
    for queue in [*QUEUES, *reversed(QUEUES)]:
        assert jobs.add.using(queue=queue).delay(1, 1).result(timeout=4) == 2


def test_a_killed_childs_jobs_come_back_in_each_group(begin, events):
    begin(threads=2)
    handles = [
        jobs.sleep.using(queue=queue).delay(1.5, queue) for queue in ("high", "default")
    ]
    (_, _, pid), _ = events.wait(), events.wait()

    psutil.Process(int(pid)).kill()

    for handle, queue in zip(handles, ("high", "default"), strict=True):
        assert handle.result(timeout=60) == queue
        assert handle.info().crashes == 1


def test_only_a_crash_alone_is_the_last_one(start, events):
    start(threads=2, settings={"QUEUES": QUEUES, "MAX_CRASHES": 1})
    handles = [
        jobs.pass_gate.using(queue=queue).delay(queue) for queue in ("high", "default")
    ]
    (_, _, pid), _ = events.wait(), events.wait()

    killed = psutil.Process(int(pid))
    killed.kill()
    killed.wait(60)

    # One of them may have done it: each runs alone now, which tells. What the dead
    # asked for last may have let one pass.
    events.open_gate(4)
    for handle in handles:
        assert handle.result(timeout=60) in QUEUES
        assert handle.info().crashes == 1


def test_cancelling_reaches_each_group(begin, events):
    begin()
    for queue in ("high", "default"):
        handle = jobs.sleep.using(queue=queue).delay(60, queue)
        events.wait()

        handle.cancel()

        assert handle.wait(timeout=60).value == "cancelled"


def test_cancelling_in_one_group_leaves_the_others_alone(begin, events):
    # Claimed by the same call of each group: all that tells them apart is the id.
    handles = [
        jobs.pass_gate.using(queue=queue).delay(queue) for queue in ("high", "default")
    ]
    begin(threads=2)
    events.wait(), events.wait()

    handles[1].cancel()

    assert handles[1].wait(timeout=60).value == "cancelled"
    events.open_gate(1)
    assert handles[0].result(timeout=60) == "high"


def test_trouble_with_one_group_delays_no_job_of_another(begin, client):
    worker = begin("high", "default")
    assert jobs.add.delay(1, 1).result(timeout=60) == 2
    client.set(conf.keys_for("high").schema, "2")
    # It wakes the worker, which finds that it must not take it.
    jobs.add.using(queue="high").delay(1, 1)
    until(lambda: "SchemaMismatch" in worker.output)

    # Each time it would wait longer before it asks again, up to five seconds.
    before = time.monotonic()
    for number in range(10):
        assert jobs.add.delay(number, 1).result(timeout=60) == number + 1

    assert time.monotonic() - before < 10
