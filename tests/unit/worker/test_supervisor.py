"""When a supervisor looks again."""

from __future__ import annotations

import os
import selectors
import signal
from time import monotonic

import psutil
import pytest

from django_redisjobs.worker.delegation import RESTART_SECONDS
from django_redisjobs.worker.options import WorkerOptions
from django_redisjobs.worker.supervisor import Supervisor


class Asleep(selectors.DefaultSelector):
    """Notes how long it would have slept."""

    def select(self, timeout=None):
        self.seconds = timeout
        return []


@pytest.fixture
def supervisor():
    options = WorkerOptions(queues=("q",), name="here", processes=2)
    found = Supervisor(options, [], {})
    found._selector.close()
    found._selector = Asleep()
    running, _ended = found._children
    running.pid = 1
    yield found
    found._selector.close()
    os.close(found._wake_read)
    os.close(found._wake_write)


def pause(supervisor):
    supervisor._looked_at = now = monotonic()
    supervisor._wait(now)
    return supervisor._selector.seconds


def test_it_wakes_up_to_start_a_process(supervisor):
    assert pause(supervisor) == 0
    assert supervisor._to_start() == [supervisor._children[1]]


def test_a_machine_without_room_for_a_process_is_asked_again(supervisor, monkeypatch):
    def full():
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    before = psutil.Process().num_fds()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    supervisor._start_children(monotonic())

    later = supervisor._children[1]
    assert later.start_at > monotonic()
    assert supervisor._to_start() == [later]
    assert psutil.Process().num_fds() == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked


def test_without_room_for_what_talks_to_redis_nobody_is_ended(supervisor, monkeypatch):
    def full():
        raise BlockingIOError("Resource temporarily unavailable")

    liaison = supervisor._liaison
    before = psutil.Process().num_fds()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fork", full)
        liaison.tend(now := monotonic())

        assert not liaison.pid
        assert psutil.Process().num_fds() == before
        liaison.end_if_hung(monotonic())

    tries = []
    monkeypatch.setattr(liaison, "start", lambda: tries.append(monotonic()))
    liaison.tend(now)
    assert not tries
    liaison.tend(now + RESTART_SECONDS)
    assert tries


def test_it_sleeps_while_the_last_job_of_a_shutdown_runs(supervisor):
    supervisor._shutdown.ask(monotonic())

    assert supervisor._to_start() == []
    assert pause(supervisor) == 0.5


def test_it_sleeps_while_the_last_process_of_a_burst_runs(supervisor):
    supervisor._children[1].finished = True

    assert pause(supervisor) == 0.5


def test_it_sleeps_until_what_a_process_left_is_brought_back(supervisor):
    ended = supervisor._children[1]
    ended.start_after = supervisor._liaison.ask("rescue")

    assert pause(supervisor) == 0.5
    supervisor._liaison._desk.done(ended.start_after)
    assert pause(supervisor) == 0


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="has no waitid")
def test_who_buries_orphans_leaves_alone_who_is_known(supervisor):
    pids = []
    for _ in range(2):
        pid = os.fork()
        if not pid:
            os._exit(3)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        pids.append(pid)
    child, liaison = pids
    supervisor._children[0].pid, supervisor._liaison._pid = child, liaison

    supervisor._reap_adopted()

    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, os.WNOHANG)[1]) == 3
