"""What a supervisor concludes from a child's board."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest

from django_redisjobs.worker.inbox import Inbox
from django_redisjobs.worker.memory import (
    GENERATION,
    KEPT,
    REGISTERED,
    WAITING,
    Phase,
    SharedMemory,
    code_of,
    worker_id,
)
from django_redisjobs.worker.offspring import STALLED_SECONDS, Offspring
from django_redisjobs.worker.outcome import CANCEL, TIMEOUT
from django_redisjobs.worker.slots import TaskSlot


@pytest.fixture
def child():
    offspring = Offspring(0, SharedMemory(1, 3).board(0), threads=1)
    os.close(offspring.prepare())
    register(offspring, 1)
    yield offspring
    offspring.close()


def register(child, generation):
    child.board.cells[GENERATION] = generation
    child.board.cells[REGISTERED] = generation


def occupy(child, place, code, *, started=0.0, hard=100.0, generation=1):
    slot = TaskSlot(child.board, place)
    slot.take(
        code,
        SimpleNamespace(id=f"job{code}"),
        SimpleNamespace(generation=generation),
        started,
    )
    slot.limit(hard, hard)
    return slot


def test_a_job_past_its_hard_limit_has_overrun(child):
    occupy(child, 0, 5, hard=1000.0)
    occupy(child, 1, 6, started=40.0, hard=100.0)

    assert child.find_overrun(99.9) is None
    found = child.find_overrun(100.0)

    assert (found.code, found.job_id, found.reason) == (6, "job6", TIMEOUT)
    assert found.seconds == 60.0


def test_a_job_that_waits_for_its_turn_has_not_overrun(child):
    slot = occupy(child, 0, 5)
    slot.take(5, SimpleNamespace(id="job5"), SimpleNamespace(generation=1), 0.0)
    child.cancel(f"job5 {child.board.worker}:0:5", kill_at=50.0)

    assert child.find_overrun(1e6) is None
    slot.limit(100.0, 100.0)
    assert child.find_overrun(1e6).code == 5


def test_a_child_whose_jobs_all_wait_for_their_turn_hangs(child):
    first = occupy(child, 1, 5, started=1.0, hard=WAITING)
    occupy(child, 2, 6, started=2.0, hard=WAITING)

    assert not child.hangs(10.0)
    assert not child.hangs(10.0 + STALLED_SECONDS - 1)
    # It had its turn: the next one has as long.
    first.free()
    assert not child.hangs(10.0 + STALLED_SECONDS)
    assert not child.hangs(10.0 + 2 * STALLED_SECONDS - 1)
    assert child.hangs(10.0 + 2 * STALLED_SECONDS)


def test_whoever_waits_for_a_job_that_runs_keeps_waiting(child):
    first = occupy(child, 1, 5, started=1.0, hard=1e9)
    occupy(child, 2, 6, started=2.0, hard=WAITING)

    assert not child.hangs(10.0)
    assert not child.hangs(1000.0)
    first.free()
    assert not child.hangs(1000.5)
    assert child.hangs(1000.5 + STALLED_SECONDS)


def test_whoever_is_kept_by_a_later_job_keeps_waiting(child):
    """It began first, as its arguments needed no decoding, and holds the loop."""
    occupy(child, 1, 5, started=1.0, hard=WAITING)
    occupy(child, 2, 6, started=2.0, hard=1e9)

    for now in range(10, 1000, 10):
        assert not child.hangs(float(now))


def test_jobs_of_a_thread_keep_nobody_from_the_loop(child):
    occupy(child, 1, 5, started=1.0, hard=WAITING)
    for step in range(int(STALLED_SECONDS / 5)):
        began = 10.0 + 5 * step
        occupy(child, 0, 6 + step, started=began, hard=1e9)
        assert not child.hangs(began)
        assert not child.hangs(began + 4.5)

    assert child.hangs(10.0 + STALLED_SECONDS)


def test_but_one_that_holds_the_interpreter_may(child):
    occupy(child, 1, 5, started=1.0, hard=WAITING)
    busy = occupy(child, 0, 6, started=2.0, hard=1e9)
    for now in range(10, 1000, 10):
        assert not child.hangs(float(now))

    busy.free()

    assert child.hangs(1000.0)


def test_a_child_whose_coroutines_lack_databases_hangs(child):
    """Though none of them waits: each would run until its own time is over."""
    child.board.cells[KEPT] = 10.0
    # Nothing has looked at it for as long as nothing runs.
    assert not child.hangs(1000.0)
    job = occupy(child, 1, 5, started=20.0, hard=1e9)

    assert not child.hangs(10.0 + STALLED_SECONDS - 1)
    assert child.hangs(10.0 + STALLED_SECONDS)

    child.board.cells[KEPT] = 0.0
    assert not child.hangs(1000.0)
    child.board.cells[KEPT] = 10.0
    job.free()
    occupy(child, 0, 6, started=20.0, hard=1e9)
    assert not child.hangs(1000.0)


def test_a_job_that_was_cancelled_while_it_waited_is_given_a_moment(child):
    token = f"{child.board.worker}:0:5"
    slot = occupy(child, 0, 5, hard=WAITING)
    child.cancel(f"job5 {token}", kill_at=50.0)
    assert child.find_overrun(90.0) is None

    slot.limit(1e9, 1e9)

    assert child.find_overrun(90.5) is None
    assert child.find_overrun(92.0).reason == CANCEL


def test_a_cancelled_job_has_less_time(child):
    worker = child.board.worker
    code = code_of(f"{worker}:3:2", 0)
    slot = occupy(child, 0, code, hard=1000.0)

    child.cancel(f"job{code} {worker}:3:2", kill_at=50.0)
    # It is said again and again, until the job has ended.
    child.cancel(f"job{code} {worker}:3:2", kill_at=70.0)

    assert child.find_overrun(49.0) is None
    assert child.find_overrun(50.0).reason == CANCEL
    slot.free()
    assert child.find_overrun(51.0) is None
    occupy(child, 0, code + 1, hard=1000.0)
    assert child.find_overrun(52.0) is None


def test_tokens_repeat_from_group_to_group(child):
    worker = child.board.worker
    occupy(child, 0, code_of(f"{worker}:3:2", 0), hard=1000.0)
    other = code_of(f"{worker}:3:2", 1)
    occupy(child, 1, other, hard=1000.0)

    child.cancel(f"job{other} {worker}:3:2", kill_at=50.0)

    assert child.find_overrun(50.0).job_id == f"job{other}"


def test_what_ran_under_a_lost_lease_is_not_ours_to_settle(child):
    occupy(child, 0, 5, generation=1)
    register(child, 2)
    occupy(child, 1, 6, generation=2)

    assert [one.code for one in child.running()] == [6]


def test_ids_that_the_child_has_left_are_told_once(child):
    base = child.base
    assert list(child.left_behind()) == []
    register(child, 4)

    assert child.has_new_id
    assert list(child.left_behind()) == [worker_id(base, each) for each in (1, 2, 3)]
    assert list(child.left_behind()) == []
    assert not child.has_new_id


def test_it_hangs_when_a_phase_is_over_its_time(child):
    child.board.enter(Phase.LOOP, 60.0)

    assert not child.hangs(59.0)
    assert child.hangs(60.0)


def test_its_inbox_can_be_taken_from_it(child):
    inbox = Inbox(child.inbox)
    inbox.put([(code, "job", "station") for code in (3, 1, 2)])

    assert child.steal() == [3, 1, 2]
    assert inbox.take() is None


def test_a_new_incarnation_has_another_name(child):
    before = child.board.worker
    occupy(child, 0, 5)

    os.close(child.prepare())
    register(child, 1)

    assert child.board.worker != before
    assert child.running() == []


def test_it_is_killed_for_one_reason(child):
    pid = os.fork()
    if not pid:
        signal.pause()
    child.began(pid, 0.0)

    child.kill("first")
    child.kill("second")

    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert child.killed_for == "first"
