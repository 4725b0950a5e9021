"""Processes that die: children, supervisors, liaisons."""

from __future__ import annotations

import signal
import sys

import psutil
import pytest

from django_redisjobs import JobStatus, conf, get_queue
from django_redisjobs.worker.holdings import LEASE_MARGIN_SECONDS
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

# No job of these tests waits for the end of a lease.
LONG_LEASE = {"LEASE": 600}

pytestmark = pytest.mark.usefixtures("redisjobs")


@pytest.mark.parametrize(
    ("function", "threads"),
    [(jobs.pass_gate, 1), (jobs.pass_gate, 3), (jobs.pass_gate_async, 1)],
    ids=["main thread", "thread", "loop"],
)
def test_a_killed_childs_job_runs_again_at_once(start, events, function, threads):
    start(threads=threads, settings=LONG_LEASE)
    handle = function.delay("again")
    _, _, pid = events.wait()

    psutil.Process(int(pid)).kill()

    _, _, other = events.wait()
    assert other != pid
    events.open_gate(1)
    assert handle.result(timeout=60) == "again"
    info = handle.info()
    assert info.crashes == 1
    assert "SIGKILL" in info.attempts[0].message
    assert [(each.number, each.run) for each in info.attempts] == [(1, 1), (1, 2)]


@pytest.mark.parametrize("how", ["at once", "by its timeout"])
def test_the_callback_of_a_job_that_dies_with_its_process_runs(start, events, how):
    """No receiver of ``job_failed`` can be told of it: its process is gone."""
    start(overrun=0.2)

    handle = jobs.die_with_a_callback.delay(how)

    assert events.wait() == ["failure", handle.id]
    assert handle.status() is JobStatus.FAILED


def test_what_a_killed_run_had_noted_is_there_for_the_next(start, events):
    start()
    handle = jobs.note_runs.delay()
    _, _, pid = events.wait()
    until(lambda: handle.info().meta == {"runs": [1]})

    psutil.Process(int(pid)).kill()

    assert handle.result(timeout=60) == [1, 2]
    assert handle.info().crashes == 1


def test_what_had_not_started_is_not_charged(start):
    worker = start()
    child = psutil.Process(jobs.take_all_for_fast.delay().result(timeout=60))
    # Else it may take what waits behind a job while the process is still dying.
    worker.signal(signal.SIGSTOP)

    # Claimed together: nobody sees a part of them.
    get_queue("default").pause()
    poison = jobs.die.delay()
    behind = jobs.add.delay(1, 1)
    get_queue("default").resume()

    until(lambda: child.status() == psutil.STATUS_ZOMBIE)
    # It is the only one that claims, so it held both.
    assert {poison.status(), behind.status()} == {JobStatus.RUNNING}
    worker.signal(signal.SIGCONT)
    assert behind.result(timeout=60) == 2
    assert behind.info().crashes == 0
    assert poison.wait(timeout=60) is JobStatus.FAILED
    assert poison.info().crashes == 3


def test_children_die_with_their_supervisor_and_the_next_worker_rescues(start, events):
    first = start(processes=2, settings=LONG_LEASE)
    handle = jobs.pass_gate.delay("rescued")
    _, _, pid = events.wait()
    children = first.children()

    first.signal(signal.SIGKILL)
    first.wait()
    psutil.wait_procs(children, timeout=60)
    assert not any(child.is_running() for child in children)
    start(settings=LONG_LEASE)

    assert events.wait()[2] != pid
    events.open_gate(1)
    assert handle.result(timeout=60) == "rescued"
    assert handle.info().crashes == 1


def test_what_has_ended_never_runs_again(start, events):
    first = start(processes=2)
    ended = jobs.sleep.delay_many([(0.0, f"ended-{number}") for number in range(20)])
    for handle in ended:
        assert handle.wait(timeout=60) is JobStatus.SUCCEEDED
    seen = [events.wait()[1] for _ in ended]
    running = jobs.pass_gate.delay("running")
    assert events.wait()[1] == "running"
    children = first.children()

    first.signal(signal.SIGKILL)
    first.wait()
    psutil.wait_procs(children, timeout=60)
    events.open_gate(1)
    assert start(burst=True).wait() == 0

    assert running.result(timeout=0) == "running"
    assert [line.split()[1] for line in events.all()] == ["running"]
    assert sorted(seen) == sorted(f"ended-{number}" for number in range(20))
    assert {len(handle.info().attempts) for handle in ended} == {1}


def test_another_worker_of_the_machine_rescues_without_a_restart(start, events):
    first = start(settings=LONG_LEASE)
    handle = jobs.pass_gate.delay("rescued")
    _, _, pid = events.wait()
    second = start("low", settings=LONG_LEASE)
    until(lambda: "queues low" in second.output)
    third = start("default", settings=LONG_LEASE)
    until(lambda: "queues default" in third.output)

    first.signal(signal.SIGKILL)

    assert events.wait()[2] != pid
    events.open_gate(1)
    assert handle.result(timeout=60) == "rescued"


# As the first process of a container is.
ADOPTING = """
import ctypes
import django
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
django.setup()
from django_redisjobs import Worker
from django_redisjobs.worker import supervisor
supervisor.adopts_orphans = lambda: True
Worker(processes=2, health="127.0.0.1:0").run()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nobody can be made to adopt")
def test_who_adopts_orphans_buries_them_and_still_knows_its_own(start):
    worker = start(command=["-c", ADOPTING])
    orphans = [
        psutil.Process(jobs.leave_an_orphan.delay().result(timeout=60))
        for _ in range(3)
    ]
    assert {each.ppid() for each in orphans} == {worker.process.pid}

    poison = jobs.leave.delay(3)
    for each in orphans:
        each.kill()

    until(lambda: not any(each.is_running() for each in orphans))
    assert poison.wait(timeout=60) is JobStatus.FAILED
    assert "exit status 3" in poison.info().error
    assert jobs.add.delay(1, 1).result(timeout=60) == 2
    assert worker.stop() == 0
    assert "takes over" not in worker.output


@pytest.mark.slow
def test_a_killed_liaison_is_replaced(start):
    worker = start(settings={"LEASE": 6})
    pid = jobs.whoami.delay().result(timeout=60)[0]
    liaison = next(each for each in worker.children() if each.pid != pid)

    liaison.kill()

    until(lambda: "A new one takes over" in worker.output)
    handle = jobs.sleep.delay(8.0, "held its lease")
    assert handle.result(timeout=60) == "held its lease"
    assert jobs.whoami.delay().result(timeout=60)[0] == pid
    assert worker.stop() == 0


@pytest.mark.slow
def test_who_may_start_nothing_hears_when_the_lease_is_renewed(start, client):
    """Of that no bell tells: a process that slept on was deaf for 15 seconds."""
    worker = start(settings={"LEASE": 8})
    pid = jobs.whoami.delay().result(timeout=60)[0]
    liaison = next(each for each in worker.children() if each.pid != pid)
    keys = conf.keys_for("default")

    def left() -> float:
        ((_, ends_ms),) = client.zrange(keys.workers, 0, -1, withscores=True)
        seconds, microseconds = client.time()
        return ends_ms / 1000 - seconds - microseconds / 1_000_000

    liaison.suspend()
    # So long before its end nothing is started any more.
    until(lambda: left() < LEASE_MARGIN_SECONDS - 0.2)
    handle = jobs.whoami.delay()
    until(lambda: handle.status() is not JobStatus.PENDING)
    liaison.resume()

    assert handle.result(timeout=5)[0] == pid
    assert worker.stop() == 0


@pytest.mark.parametrize(
    ("function", "argument", "reason"),
    [
        (jobs.leave, 0, "exit status 0"),
        (jobs.leave, 3, "exit status 3"),
        (jobs.die, signal.SIGSEGV, "SIGSEGV"),
    ],
)
def test_a_job_that_kills_its_process_is_stopped_after_three_crashes(
    start, function, argument, reason
):
    worker = start(processes=2)

    poison = function.delay(int(argument))
    others = jobs.add.delay_many([(number, 1) for number in range(200)])

    assert poison.wait(timeout=60) is JobStatus.FAILED
    info = poison.info()
    assert info.crashes == 3
    assert "crashed" in info.error
    assert reason in info.error
    for number, handle in enumerate(others):
        assert handle.result(timeout=60) == number + 1
        assert handle.info().crashes == 0
    assert worker.stop() == 0


@pytest.mark.slow
def test_poison_among_threads_takes_no_neighbour_with_it(start, events):
    worker = start(threads=4)
    neighbours = [jobs.sleep.delay(1.5, str(number)) for number in range(3)]
    for _ in neighbours:
        events.wait()

    poison = jobs.die.delay()

    assert poison.wait(timeout=60) is JobStatus.FAILED
    assert poison.info().crashes == 3
    for number, handle in enumerate(neighbours):
        assert handle.result(timeout=60) == str(number)
    assert worker.stop() == 0


def test_a_stopped_child_is_killed_and_its_work_brought_back(start, events):
    """SIGSTOP: it does not die, it does nothing. Its job has a limit, so it ends."""
    start(overrun=0.5)
    handle = jobs.pass_gate.using(timeout=2, retry=3).delay("x")
    _, _, pid = events.wait()
    psutil.Process(int(pid)).suspend()
    events.open_gate(1)

    assert handle.result(timeout=60) == "x"


@pytest.mark.parametrize(
    ("function", "threads"),
    [(jobs.fail, 1), (jobs.fail, 3), (jobs.fail_async, 1)],
    ids=["main thread", "thread", "loop"],
)
def test_a_process_whose_telling_breaks_is_replaced(start, function, threads):
    """A receiver of a signal that raises SystemExit: no job may hang in between."""
    worker = start(threads=threads)

    handle = function.delay("break the teller")

    assert handle.wait(timeout=60) is JobStatus.FAILED
    assert handle.info().crashes == 3
    assert jobs.add.delay(1, 1).result(timeout=60) == 2
    assert worker.stop() == 0
