"""Who is busy, as those see it who decide whether a process may end; who takes what."""

from __future__ import annotations

import threading
from math import inf
from time import monotonic
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from django_redisjobs.worker.crew import Crew
from django_redisjobs.worker.inbox import Announced, Inbox, drain
from django_redisjobs.worker.memory import SharedMemory
from django_redisjobs.worker.options import WorkerOptions


class SlowInbox:
    """A thread that has read a record has to wait before it goes on."""

    def __init__(self):
        self.reached = threading.Event()
        self.may_go_on = threading.Event()

    def __len__(self):
        return 0

    def take(self):
        self.reached.set()
        self.may_go_on.wait(60)


@pytest.fixture
def inbox():
    return SlowInbox()


def test_who_has_taken_a_job_is_busy_before_it_is_in_a_slot(inbox):
    options = WorkerOptions(queues=("q",), threads=2)
    board = SharedMemory(1, options.slots).board(0)
    done = threading.Event()
    crew = Crew(options, board, inbox, None, begun=None, completed=done.set)
    crew.start()
    assert not crew.busy

    crew.offer(1)
    assert inbox.reached.wait(60)

    # What it holds now would be killed with the process, in the middle.
    assert crew.busy
    inbox.may_go_on.set()
    assert done.wait(60)
    assert not crew.busy
    crew.stop()


@pytest.fixture
def crew(pipe, monkeypatch):
    """Four threads whose jobs take a minute, as it knows, and all of which run one.

    Its clock stands still: what is nearly over stays so for a few milliseconds only.
    """
    now = monotonic()
    monkeypatch.setattr("django_redisjobs.worker.crew.monotonic", lambda: now)
    options = WorkerOptions(queues=("q",), threads=4)
    board = SharedMemory(1, options.slots).board(0)
    made = Crew(options, board, Inbox(pipe), None, begun=None, completed=None)
    for _ in range(40):
        made.pace.slow()
        made.pace.learn(60.0, 1)
    for slot in made.slots:
        slot.code, slot.started = 1, now
    return made


def nearly_over(crew, *places):
    for place in places:
        crew.slots[place].started -= 60.0


def test_nothing_is_claimed_for_who_is_busy_for_long(crew):
    assert crew.room(plenty=True) == 0
    assert 50 < crew.until_soon(monotonic()) < 60


def test_where_there_are_plenty_something_is_ready_for_who_is_free_soon(crew):
    nearly_over(crew, 0, 1, 2)

    assert crew.room(plenty=False) == 0
    assert crew.room(plenty=True) == 3


def test_who_finds_enough_needs_no_more(crew):
    nearly_over(crew, 0, 1)
    assert crew.room(plenty=True) == 2
    assert not crew.is_stocked

    crew._inbox.put([(code, "job", "station") for code in (1, 2)])

    assert crew.is_stocked
    assert crew.room(plenty=True) == 0


def test_what_somebody_else_took_is_no_stock(crew, pipe):
    nearly_over(crew, 0, 1)
    crew.room(plenty=True)
    crew._inbox.put([(code, "job", "station") for code in (1, 2)])

    drain(pipe[0])
    assert crew._inbox.take() is None

    assert not crew.is_stocked


def test_who_is_free_and_finds_nothing_of_what_was_claimed_is_robbed(crew, pipe):
    crew._inbox.put([(1, "job", "station")])
    drain(pipe[0])
    assert crew._inbox.take() is None
    # All have enough to do.
    assert not crew.is_robbed

    crew.slots[0].code = 0
    assert crew.is_robbed
    # What it still counts leaves no room.
    assert crew.room(plenty=False) == 0

    crew._inbox.forget([1])
    assert not crew.is_robbed
    assert crew.room(plenty=False) > 0


def test_what_nobody_comes_to_is_handed_back(crew):
    nearly_over(crew, *range(4))
    crew._inbox.put([(1, "job", "station")])
    now = monotonic()

    # Who claimed it did so for somebody who is free soon.
    assert not crew.is_stuck(now)
    assert crew.is_stuck(now + 0.02)
    crew.slots[0].started = now + 0.02
    assert not crew.is_stuck(now + 0.02)


class Station:
    """Of a worker that holds its lease."""

    alive = True
    generation = 1

    def __init__(self):
        self.outcomes = []


class Execution:
    """Knows what kind of job each is by its body; none of ``broken`` can be run."""

    def knows_coroutine(self, job):
        return job.body in ("coroutine", "broken")

    def prepare(self, slot, job):
        if job.body == "broken":
            slot.free()
            return None
        return SimpleNamespace(is_async=job.body == "coroutine"), job.body


@pytest.fixture
def loop_crew(pipe):
    """One thread, and a loop with one place, which a job has just left."""
    options = WorkerOptions(queues=("q",), threads=1, async_concurrency=1)
    board = SharedMemory(1, options.slots).board(0)
    board.leases[0] = inf
    made = Crew(options, board, Inbox(pipe), Execution(), begun=Mock(), completed=None)
    made.place = made.coroutines.place()
    return made


def put(crew, *bodies, first=1, station=None):
    """The codes are 1, 2, …"""
    station = station or Station()
    entries = [
        (
            code,
            SimpleNamespace(id=f"job{code}", entry=f"job{code} t", body=body),
            station,
        )
        for code, body in enumerate(bodies, first)
    ]
    crew._inbox.put(entries)


def test_the_loop_takes_its_next_job_itself(loop_crew):
    put(loop_crew, "coroutine", "coroutine")

    plan, body = loop_crew._refill(loop_crew.place)

    assert (plan.is_async, body) == (True, "coroutine")
    assert (loop_crew.place.code, loop_crew.started) == (1, 1)
    loop_crew._begun.assert_called_once()
    # Who asks meanwhile whether anybody is busy.
    assert loop_crew.busy


def test_what_only_the_main_thread_can_run_is_left_to_it(loop_crew):
    put(loop_crew, "plain", "coroutine", "coroutine")

    assert loop_crew._refill(loop_crew.place) is None
    assert (loop_crew.place.code, loop_crew.started) == (0, 0)

    # Until the main thread has come to it all is the main thread's, in order.
    assert loop_crew._refill(loop_crew.place) is None
    assert [entry[0] for entry in loop_crew._inbox.take_all()] == [1, 2, 3]


def test_the_loop_goes_on_when_the_main_thread_has_come_to_that(loop_crew):
    put(loop_crew, "plain", "coroutine", "coroutine")
    loop_crew._refill(loop_crew.place)

    assert loop_crew._inbox.take()[0] == 1

    assert loop_crew._refill(loop_crew.place) is not None
    assert loop_crew.place.code == 2


def test_the_loop_takes_nothing_while_the_main_thread_does(loop_crew):
    put(loop_crew, "coroutine", "coroutine")

    with loop_crew._taking:
        assert loop_crew._refill(loop_crew.place) is None

    assert len(loop_crew._inbox) == 2


def test_what_was_handed_over_begins_before_what_is_in_the_inbox(loop_crew):
    put(loop_crew, "coroutine")
    loop_crew.coroutines.hand_over(loop_crew.place, ("plan", "body"))

    assert loop_crew._refill(loop_crew.place) is None

    assert len(loop_crew._inbox) == 1


def test_a_claim_under_way_is_left_to_who_made_it(loop_crew):
    loop_crew._inbox.announce(7)

    assert loop_crew._refill(loop_crew.place) is None

    assert loop_crew._inbox.take() == Announced(7)


def test_the_loop_passes_over_what_cannot_be_run(loop_crew):
    put(loop_crew, "broken", "coroutine", "coroutine")
    loop_crew.cancelled.add("job2 t")

    assert loop_crew._refill(loop_crew.place) is not None

    assert loop_crew.place.code == 3


def test_nothing_begins_in_the_loop_when_the_lease_is_in_doubt(loop_crew):
    station = Station()
    put(loop_crew, "coroutine", station=station)
    loop_crew._leases[0] = 0.0

    assert loop_crew._refill(loop_crew.place) is None

    (outcome,) = station.outcomes
    assert outcome.kind == "released"


def test_beside_several_threads_the_loop_takes_nothing(crew):
    crew._inbox.put([(1, "job", "station")])

    assert crew._refill(crew.coroutines.place()) is None

    assert len(crew._inbox) == 1


def test_only_a_main_thread_that_runs_jobs_takes_what_comes_next(crew, loop_crew):
    # Else what stays out of the pipe would be out of the supervisor's reach.
    assert not crew.takes_next
    assert not loop_crew.takes_next

    loop_crew.coroutines._free.append(loop_crew.place)

    assert loop_crew.takes_next


def test_the_loop_takes_nothing_behind_a_job_that_the_main_thread_runs(loop_crew):
    # What it laid back there would be out of the supervisor's reach.
    put(loop_crew, "coroutine")
    loop_crew._at_work = True

    assert loop_crew._refill(loop_crew.place) is None

    assert len(loop_crew._inbox) == 1


def test_nothing_follows_where_a_job_could_not_be_ended(loop_crew, monkeypatch):
    """Whoever brings back what the process held has to find it where it ran."""
    put(loop_crew, "coroutine", "coroutine")
    rung = Mock()
    coroutines = loop_crew.coroutines
    monkeypatch.setattr(coroutines, "_completed", rung)
    loop_crew._refill(loop_crew.place)
    coroutines.failure = RuntimeError("the log")

    coroutines._leave(loop_crew.place)

    assert loop_crew.place.code == 1
    assert loop_crew.failure is not None
    assert loop_crew.busy
    rung.assert_called_once()
