"""``processes=0``: all in the calling process, here in a thread of the test's."""

from __future__ import annotations

import gc
import os
import signal
import threading

import psutil
import pytest
from django.db.transaction import atomic
from django.test import override_settings

from django_redisjobs import JobStatus, Worker, conf, connections
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("redisjobs")

OF_LOOPS = ("redisjobs-loop", "redisjobs-settler")


@pytest.fixture
def in_thread():
    """Run a worker beside the test; it is stopped at the end."""
    begun = []

    def begin(**options):
        worker = Worker(processes=0, **options)
        thread = threading.Thread(target=worker.run)
        thread.start()
        begun.append((worker, thread))
        return worker, thread

    yield begin
    for worker, thread in begun:
        worker.stop()
        thread.join(20)
        assert not thread.is_alive()


def test_sizes_and_durations_are_taken_as_the_command_takes_them():
    worker = Worker(processes=0, max_rss="400M", grace="5s", overrun="1m")

    options = worker._options
    assert (options.max_rss, options.grace, options.overrun) == (400 * 2**20, 5, 60)


def test_a_decorator_that_it_will_leave_out_is_logged(monkeypatch, caplog):
    monkeypatch.setattr(jobs, "add", atomic(jobs.add))

    Worker(processes=0, burst=True).run()

    assert f"{jobs.__name__}.add has a decorator above its @job." in caplog.text


def test_a_name_may_be_of_bytes_that_are_no_text():
    assert Worker(processes=0, name="\udcff")._options.name == "\\udcff"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_rss": "much"}, "'much' is no size"),
        ({"grace": "soon"}, "'soon' is not a duration"),
        ({"overrun": -1}, "not a usable duration"),
    ],
)
def test_what_is_wrong_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        Worker(processes=0, **options)


def test_one_queue_is_a_list_too():
    with pytest.raises(TypeError, match=r"a list of names: write \['default'\]"):
        Worker("default", processes=0)


def test_no_queues_are_not_all():
    with pytest.raises(ValueError, match="queues is empty"):
        Worker([], processes=0)
    assert Worker(None, processes=0)._options.queues == tuple(
        conf.get_settings().queues
    )


def test_a_burst_in_the_calling_thread(left_in_redis):
    handles = [jobs.whoami.delay() for _ in range(20)]
    before = signal.getsignal(signal.SIGTERM)

    Worker(processes=0, burst=True).run()

    pids = {handle.result(timeout=0)[0] for handle in handles}
    assert pids == {os.getpid()}
    assert signal.getsignal(signal.SIGTERM) is before
    assert not left_in_redis()


@pytest.mark.parametrize("threads", [1, 3])
def test_it_runs_beside_other_threads(in_thread, threads):
    in_thread(threads=threads)

    assert jobs.add.delay(1, 2).result(timeout=60) == 3
    assert jobs.sleep_async.delay(0.01, "async").result(timeout=60) == "async"


def test_a_timeout_interrupts(in_thread):
    in_thread()

    handle = jobs.spin.using(timeout=0.2).delay(60)

    assert handle.wait(timeout=60) is JobStatus.FAILED
    assert handle.info().attempts[0].outcome == "timeout"


def test_notes_that_cannot_be_read_disturb_nobody():
    handle = jobs.note_the_unreadable.using(timeout=0.2).delay(60)

    Worker(processes=0, burst=True).run()

    info = handle.info()
    assert (info.status, info.crashes) == (JobStatus.FAILED, 0)
    assert "timeout" in info.error.lower()


def test_cancelling_interrupts(in_thread):
    in_thread()
    handle = jobs.spin.delay(60)
    until(lambda: handle.status() is JobStatus.RUNNING)

    handle.cancel()

    assert handle.wait(timeout=60) is JobStatus.CANCELLED


def test_stopping_waits_for_the_job_that_runs(in_thread, events):
    worker, thread = in_thread()
    handle = jobs.sleep.delay(0.5, "done")
    events.wait()

    worker.stop()
    thread.join(20)

    assert handle.result(timeout=0) == "done"


def test_it_stops_though_redis_is_away(redisjobs, in_thread, monkeypatch):
    monkeypatch.setattr("django_redisjobs.worker.inline.FAREWELL_SECONDS", 0.2)
    server = Server()
    with override_settings(REDISJOBS={**redisjobs, "URL": server.url}):
        worker, thread = in_thread(grace=0.2)
        handle = jobs.spin.delay(60)
        until(lambda: handle.status() is JobStatus.RUNNING)

        server.kill()
        worker.stop()
        thread.join(20)

        assert not thread.is_alive()
        connections.forget()
    server.stop()


def test_it_leaves_no_descriptor_open(events):
    def run():
        jobs.add.delay(1, 1)
        jobs.ended_before.delay("")
        jobs.leave_a_task.delay()
        Worker(processes=0, burst=True, threads=2).run()

    def threads():
        names = [thread.name.partition("_")[0] for thread in threading.enumerate()]
        return [name for name in names if name in OF_LOOPS]

    def opened():
        # Clients keep as many connections as were ever used at the same time: whether
        # two threads met, in one run and not in another, is chance and no leak.
        connections.forget()
        # Its threads may be about to end.
        gc.collect()
        return psutil.Process().num_fds()

    run()
    before = opened()
    for _ in range(3):
        run()

    until(lambda: opened() <= before)
    until(lambda: not threads())
    assert events.all() == ["left, and then succeeded"] * 4


def test_a_job_that_stops_the_loop_stops_no_others(in_thread):
    in_thread()
    jobs.stop_the_loop.delay().result(timeout=60)

    assert jobs.sleep_async.delay(0.01, "async").result(timeout=20) == "async"


@pytest.mark.slow
def test_the_lease_is_kept_while_a_job_runs(redisjobs, settings, in_thread, events):
    settings.REDISJOBS = {**redisjobs, "LEASE": 3}
    in_thread()
    handle = jobs.sleep.delay(5.0, "kept")

    assert handle.result(timeout=60) == "kept"
    assert handle.info().crashes == 0


def test_a_supervised_worker_belongs_into_the_main_thread():
    caught = []

    def run():
        try:
            Worker(processes=1).run()
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert "main thread" in caught[0]


def test_an_inline_worker_stops_on_a_signal(start, events):
    worker = start(processes=0)
    handle = jobs.sleep.delay(0.5, "done")
    events.wait()

    # Its grace is 25 seconds.
    assert worker.stop(20) == 0

    assert handle.result(timeout=0) == "done"
