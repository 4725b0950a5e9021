"""Bursts, and processes that are replaced in good order."""

from __future__ import annotations

import re

import pytest

from django_redisjobs import JobStatus, conf, get_queue
from django_redisjobs.calls import ask
from django_redisjobs.core import staff
from django_redisjobs.core.records import WorkerRecord
from django_redisjobs.worker.pace import LARGEST_BATCH
from django_redisjobs.worker.worker import Worker
from tests.integration.worker import jobs
from tests.integration.worker.conftest import crash_twice, until

pytestmark = pytest.mark.usefixtures("redisjobs")


def registered(but: str = "") -> WorkerRecord | None:
    """A process of a worker, of another id."""
    found = ask(staff.workers(conf.keys_for("default")))
    return next((one for one in found if one.id != but), None)


def test_a_process_is_replaced_after_so_many_jobs(start, left_in_redis):
    handles = [jobs.whoami.delay() for _ in range(10)]

    worker = start(max_jobs=3, burst=True)

    assert worker.wait() == 0
    pids = [handle.result(timeout=0)[0] for handle in handles]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3, 1]
    assert not left_in_redis()


def test_each_process_tells_when_it_began_and_when_its_worker_did(start):
    worker = start(max_jobs=1)
    first = until(registered)
    jobs.whoami.delay().result(timeout=60)
    second = until(lambda: registered(but=first.id))

    assert first.worker_started_ms < first.started_ms < second.started_ms
    assert second.worker_started_ms == first.worker_started_ms
    assert worker.stop() == 0


@pytest.mark.usefixtures("at_full_speed")
def test_no_more_are_claimed_ahead_than_may_run():
    most = 2 * LARGEST_BATCH + 10
    handles = jobs.add.delay_many([(1, 1)] * 4 * LARGEST_BATCH)

    Worker(processes=0, burst=True, max_jobs=most).run()

    assert [handle.status() for handle in handles].count(JobStatus.SUCCEEDED) == most


@pytest.mark.parametrize("kind", ["threads", "async"])
def test_other_executors_count_too(start, events, kind):
    function = jobs.sleep_async if kind == "async" else jobs.sleep
    handles = function.delay_many([(0.01,)] * 7)

    worker = start(max_jobs=3, burst=True, threads=2 if kind == "threads" else 1)

    assert worker.wait() == 0
    assert {handle.status() for handle in handles} == {JobStatus.SUCCEEDED}
    pids = [line.split(" ")[2] for line in events.all()]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


def test_a_process_that_holds_too_much_memory_is_replaced(start):
    worker = start(max_rss=200_000_000)
    first = jobs.whoami.delay().result(timeout=60)[0]

    assert jobs.eat_memory.delay(300).result(timeout=60) == first

    assert jobs.whoami.delay().result(timeout=60)[0] != first
    assert worker.stop() == 0


def test_a_limit_below_what_a_fresh_process_holds_is_told_once(start):
    worker = start(max_rss=1_000_000, processes=2)
    until(lambda: "before it has run anything" in worker.output)

    pids = [jobs.whoami.delay().result(timeout=60)[0] for _ in range(3)]

    assert worker.stop() == 0
    assert len(set(pids)) == 3
    # Each has run something.
    assert worker.output.count("and is replaced") <= 3
    assert worker.output.count("before it has run anything") == 1
    assert re.search(r"may hold 1\.0 MB, and holds [\d.]+ MB", worker.output)


def test_a_burst_waits_for_what_runs_and_what_that_enqueues(start):
    first = jobs.flaky.using(retry=0).delay(0)
    slow = jobs.sleep_async.delay(0.5, "slow")

    worker = start(burst=True, processes=2)

    assert worker.wait() == 0
    assert first.result(timeout=0) == 1
    assert slow.result(timeout=0) == "slow"


def test_a_burst_survives_crashes(start):
    others = jobs.add.delay_many([(number, 1) for number in range(50)])
    poison = jobs.die.delay()

    worker = start(burst=True, processes=2)

    assert worker.wait() == 0
    assert poison.status() is JobStatus.FAILED
    assert {handle.status() for handle in others} == {JobStatus.SUCCEEDED}


def test_the_last_permitted_start_is_alone_in_a_fresh_process(start):
    worker = start()
    assert jobs.add.delay(1, 1).result(timeout=60) == 2

    poison = jobs.leave.delay(9)

    assert poison.wait(timeout=60) is JobStatus.FAILED
    assert "exit status 9" in poison.info().error
    assert worker.stop() == 0


@pytest.mark.parametrize(
    ("nap", "threads"), [(jobs.nap, 1), (jobs.nap, 4), (jobs.nap_async, 1)]
)
def test_what_must_run_alone_does_not_wait_for_the_end_of_all_work(start, nap, threads):
    suspect = jobs.add.using(queue="high").delay(2, 2)
    crash_twice("high")
    get_queue("high").pause()
    # Of unlike lengths, so that threads do not end theirs together by chance.
    number = 400 if nap is jobs.nap and threads == 1 else 1600
    lengths = [(0.03 + 0.01 * (each % 5),) for each in range(number)]
    others = nap.using(queue="low").delay_many(lengths)
    start(threads=threads, async_concurrency=4)
    # It has run something, and there is always more to do.
    others[10].wait(timeout=60)
    get_queue("high").resume()

    assert suspect.result(timeout=15) == 4

    assert others[-1].status() is JobStatus.PENDING
