"""SIGTERM, Ctrl-C and their friends."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from django_redisjobs import JobStatus
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

pytestmark = pytest.mark.usefixtures("redisjobs")


def ready(worker):
    assert jobs.add.delay(1, 1).result(timeout=60) == 2
    return worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_stops_at_once_and_leaves_nothing(start, left_in_redis, number):
    worker = ready(start(processes=2))
    before = time.monotonic()

    worker.signal(number)

    assert worker.wait() == 0
    # A sleep on Redis takes five seconds, the grace 25.
    assert time.monotonic() - before < 4
    assert not left_in_redis()


def test_a_signal_to_all_of_its_processes_is_one_to_the_worker(start, left_in_redis):
    """As timeout(1) sends it, or systemd by default."""
    worker = ready(start(processes=2))

    children = worker.children()
    worker.signal(signal.SIGTERM)
    for process in children:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)

    assert worker.wait() == 0
    assert "talks to Redis ended" not in worker.output
    assert not left_in_redis()


def test_a_worker_that_is_still_starting_stops(start):
    worker = start(processes=2)
    until(lambda: "2 processes" in worker.output)

    assert worker.stop() == 0


@pytest.mark.parametrize(
    ("function", "threads"),
    [(jobs.sleep, 1), (jobs.sleep, 3), (jobs.sleep_async, 1)],
    ids=["main thread", "thread", "loop"],
)
def test_a_running_job_finishes(start, events, left_in_redis, function, threads):
    worker = start(threads=threads)
    handle = function.delay(1.0, "finished")
    events.wait()

    assert worker.stop() == 0

    assert handle.result(timeout=0) == "finished"
    assert not left_in_redis()


def test_what_did_not_start_goes_back(start, events):
    worker = start()
    jobs.pass_gate.delay(then=1.0)
    events.wait()
    waiting = jobs.add.delay(1, 1)

    worker.signal(signal.SIGTERM)
    until(lambda: "Stopping" in worker.output)
    events.open_gate(1)

    assert worker.wait() == 0
    assert waiting.status() is JobStatus.PENDING


@pytest.mark.parametrize(
    ("function", "threads"),
    [(jobs.sleep, 1), (jobs.spin, 3), (jobs.sleep_async, 1), (jobs.hold, 1)],
    ids=["main thread", "thread", "loop", "ignores the interrupt"],
)
def test_a_job_longer_than_the_grace_goes_back_to_the_head(
    start, client, left_in_redis, function, threads
):
    worker = start(threads=threads, grace=0.3)
    handle = function.delay(60)
    until(lambda: handle.status() is JobStatus.RUNNING)
    behind = jobs.add.using(queue="low").delay(1, 1)
    assert behind

    assert worker.stop() == 0

    info = handle.info()
    assert (info.status, info.attempts, info.crashes) == (JobStatus.PENDING, (), 0)
    assert not left_in_redis() - {"state"}


def test_an_interrupted_job_may_tidy_up(start, events):
    worker = start(grace=0.2)
    handle = jobs.interrupted_cleanly.delay(60)
    events.wait()

    assert worker.stop() == 0

    assert events.all() == ["interrupted shutdown"]
    assert handle.status() is JobStatus.PENDING


def test_a_second_signal_ends_the_patience(start, events):
    worker = start(grace=60)
    handle = jobs.interrupted_cleanly.delay(100)
    events.wait()

    # A second one at once is the same request, sent twice.
    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGINT)
    until(lambda: "Stopping" in worker.output)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1.5)
    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0
    assert events.all() == ["interrupted shutdown"]
    assert handle.status() is JobStatus.PENDING


def test_the_job_runs_elsewhere_after_a_short_grace(start, events):
    first = start(grace=0.2)
    handle = jobs.pass_gate.delay("moved")
    _, _, pid = events.wait()

    first.signal(signal.SIGTERM)
    start()

    assert events.wait()[2] != pid
    assert first.wait() == 0
    events.open_gate(1)
    assert handle.result(timeout=60) == "moved"
    assert len(handle.info().attempts) == 1


def test_a_child_that_gets_the_signal_itself_is_replaced(start):
    worker = start()
    pid = jobs.whoami.delay().result(timeout=60)[0]

    child = next(each for each in worker.children() if each.pid == pid)
    child.terminate()

    child.wait(20)
    assert jobs.whoami.delay().result(timeout=60)[0] != pid
    assert worker.stop() == 0
