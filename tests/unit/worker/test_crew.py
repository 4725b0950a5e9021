"""Who is busy, as those see it who decide whether a process may end."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from django_redisjobs.worker.crew import Crew
from django_redisjobs.worker.inbox import Inbox, drain
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
def crew(pipe):
    """Four threads whose jobs take a minute, as it knows, and all of which run one."""
    options = WorkerOptions(queues=("q",), threads=4)
    board = SharedMemory(1, options.slots).board(0)
    made = Crew(options, board, Inbox(pipe), None, begun=None, completed=None)
    for _ in range(40):
        made.pace.slow()
        made.pace.learn(60.0, 1)
    for slot in made.slots:
        slot.code, slot.started = 1, monotonic()
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


def test_what_nobody_comes_to_is_handed_back(crew):
    nearly_over(crew, *range(4))
    crew._inbox.put([(1, "job", "station")])
    now = monotonic()

    # Who claimed it did so for somebody who is free soon.
    assert not crew.is_stuck(now)
    assert crew.is_stuck(now + 0.02)
    crew.slots[0].started = now + 0.02
    assert not crew.is_stuck(now + 0.02)
