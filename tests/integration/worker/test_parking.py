"""Rolling deploys: what one build cannot run waits for one that can."""

from __future__ import annotations

import pytest

from django_redisjobs import JobStatus, get_connection
from django_redisjobs.conf import keys_for
from django_redisjobs.core.consumer import Consumer, Settlement
from django_redisjobs.core.records import DEFAULT_KEEP
from tests.integration.worker import jobs

pytestmark = pytest.mark.usefixtures("redisjobs")


def park(handle):
    """What a worker of an older build does with a function that it lacks."""
    consumer = Consumer(
        get_connection(),
        keys_for("default"),
        "old-1",
        ["default"],
        lease_ms=30_000,
        keep=DEFAULT_KEEP,
        max_crashes=3,
    )
    consumer.register({})
    (claimed,) = consumer.exchange([], want=1).jobs
    consumer.exchange([Settlement("parked", claimed, error="unknown")], want=0)
    assert handle.status() is JobStatus.PARKED


def test_a_parked_job_runs_when_a_worker_that_knows_it_starts(start):
    handle = jobs.add.delay(2, 3)
    park(handle)

    start()

    assert handle.result(timeout=60) == 5


def test_one_that_nobody_knows_stays_parked(start):
    handle = jobs.add.using(queue="default").delay(2, 3)
    park(handle)
    worker = start("low")
    assert jobs.add.using(queue="low").delay(1, 1).result(timeout=60) == 2

    assert worker.stop() == 0

    assert handle.status() is JobStatus.PARKED
