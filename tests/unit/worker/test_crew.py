"""Who is busy, as those see it who decide whether a process may end."""

from __future__ import annotations

import threading

import pytest

from django_redisjobs.worker.crew import Crew
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
