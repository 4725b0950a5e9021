"""A pause holds for workers that are at full speed when it comes."""

from __future__ import annotations

import pytest

from django_redisjobs import JobStatus, get_queue
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

pytestmark = pytest.mark.usefixtures("redisjobs")


def test_workers_at_full_speed_start_nothing_of_a_paused_queue(start):
    start(processes=2)
    start(processes=2)
    queue = get_queue("default")
    jobs.sleep.delay_many([(0.002,)] * 8_000)
    # Behind those, even if they come due before the pause.
    delayed = jobs.add.using(run_after="0.5s").delay_many([(1, 1)] * 20)
    until(lambda: queue.counts().succeeded > 100)

    queue.pause(reason="the bank is down")

    # What was claimed before ends: that is about ten milliseconds of work.
    until(lambda: not queue.counts().running)
    before = queue.counts()
    assert before.pending > len(delayed)
    until(lambda: not queue.counts().scheduled)
    # Each process has looked for work since then.
    beside = jobs.add.using(queue="low").delay_many([(1, 1)] * 200)
    assert [handle.result(timeout=60) for handle in beside] == [2] * 200
    after = queue.counts()
    assert after.pending == before.pending + before.scheduled
    assert after.succeeded == before.succeeded
    assert {handle.status() for handle in delayed} == {JobStatus.PENDING}
