"""Nobody waits behind a slow job."""

from __future__ import annotations

from collections import Counter

import pytest
from django.db import transaction

from django_redisjobs import get_queue
from tests.integration.worker import jobs
from tests.integration.worker.conftest import sleepers, until

pytestmark = pytest.mark.usefixtures("redisjobs")


@pytest.fixture
def starts(client, events):
    """How often each job that has a name began, when a worker has none left to begin."""

    def count(worker, processes):
        # Nobody goes to sleep who holds a job that it has not begun.
        until(lambda: len(sleepers(client)) == processes + 1)
        assert worker.stop() == 0
        names = (line.split(" ")[1] for line in events.all())
        return Counter(name for name in names if name)

    return count


@pytest.mark.slow
@pytest.mark.parametrize("slow", [jobs.sleep, jobs.spin, jobs.hold])
def test_fast_jobs_claimed_behind_a_slow_one_run_elsewhere(start, starts, slow):
    names = [str(number) for number in range(200)]
    # Both children have learnt that jobs are fast, and claim many at once.
    worker = start(processes=2)
    warm_up(3000)

    # What ended before it in the same claim cannot be settled while a job holds the
    # interpreter: only those behind it count here. Paused, or it might be claimed before
    # there is anything behind it.
    get_queue("default").pause()
    jobs.add.delay_many([(1, 1)] * 200)
    blocker = slow.delay(6.0)
    behind = jobs.sleep.delay_many([(0.0, name) for name in names])
    get_queue("default").resume()

    assert [handle.result(timeout=60) for handle in behind] == names
    assert blocker.status() == "running"
    blocker.wait(timeout=60)
    assert starts(worker, 2) == Counter(names)


def test_what_was_claimed_for_busy_threads_runs_elsewhere(start, events, starts):
    """They were about to be free, as far as their worker could foresee."""
    names = [str(number) for number in range(50)]
    worker = start(processes=2, threads=2)
    for handle in jobs.sleep.delay_many([(0.02,)] * 100):
        handle.wait(timeout=60)

    blockers = jobs.pass_gate.delay_many([()] * 3)
    behind = jobs.sleep.delay_many([(0.02, name) for name in names])

    for handle in behind:
        handle.wait(timeout=20)
    assert {blocker.status() for blocker in blockers} == {"running"}
    events.open_gate(3)
    for blocker in blockers:
        blocker.wait(timeout=60)
    assert starts(worker, 2) == Counter(names)


@pytest.mark.parametrize("threads", [1, 3])
def test_coroutines_claimed_ahead_run_once_and_never_too_many(start, starts, threads):
    names = [str(number) for number in range(80)]
    worker = start(threads=threads, async_concurrency=4)

    handles = jobs.count_beside.delay_many([(0.03, name) for name in names])

    assert max(handle.result(timeout=60) for handle in handles) <= 4
    assert starts(worker, 1) == Counter(names)


def test_finished_work_is_settled_while_a_slow_job_runs(start, events):
    # Two processes: on a busy machine some of the quick ones may be handed back before
    # they began, and are not to wait for the slow one either.
    start(processes=2)
    warm_up(500)

    # Claimed together: nobody sees a part of them.
    get_queue("default").pause()
    quick = jobs.add.delay_many([(1, 1)] * 20)
    slow = jobs.sleep.delay(60.0)
    get_queue("default").resume()
    events.wait()

    for handle in quick:
        assert handle.result(timeout=60) == 2
    assert slow.status() == "running"


def warm_up(number: int) -> None:
    assert jobs.add.delay_many([(1, 1)] * number)[-1].result(timeout=60) == 2


def test_a_job_function_may_have_each_end_written_at_once(start, client, prefix):
    start()
    warm_up(500)

    handles = jobs.one_by_one.delay_many([(number, 0.0) for number in range(20)])
    handles += jobs.one_by_one.delay_many([(20, 60.0)])

    assert [handle.result(timeout=60) for handle in handles[:20]] == list(range(20))
    assert handles[20].info().finished_at is None


@pytest.mark.django_db(transaction=True)
def test_also_on_the_event_loop_before_another_one_begins_there(start):
    start(async_concurrency=1)
    warm_up(500)
    with transaction.atomic():
        before = jobs.ended_before.delay("")
        after = []
        for _ in range(30):
            after.append(jobs.ended_before.delay(before.id))
            before = after[-1]

    assert all(handle.result(timeout=60) for handle in after)
