"""Interrupts strike the job that they are meant for, and nothing else."""

from __future__ import annotations

import json
import signal
import threading
from types import SimpleNamespace

import pytest

from django_redisjobs.context import JobContext
from django_redisjobs.exceptions import JobInterrupted, JobTimeout
from django_redisjobs.worker.memory import SharedMemory
from django_redisjobs.worker.outcome import CANCEL, SHUTDOWN, TIMEOUT
from django_redisjobs.worker.slots import (
    INTERRUPT_SIGNAL,
    PREPARATION_SECONDS,
    MainSlot,
    TaskSlot,
    ThreadSlot,
)

STATION = SimpleNamespace(generation=1)
JOB = SimpleNamespace(id="x")


@pytest.fixture(params=[MainSlot, ThreadSlot])
def slot(request):
    slot = request.param(SharedMemory(1, 1).board(0), 0)
    before = signal.getsignal(INTERRUPT_SIGNAL)
    slot.begin_thread()
    slot.take(1, JOB, STATION, 0.0)
    yield slot
    slot.quiet()
    signal.signal(INTERRUPT_SIGNAL, before)


def spin():
    event = threading.Event()
    for _ in range(2000):
        event.wait(0.001)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [(TIMEOUT, JobTimeout), (CANCEL, JobInterrupted), (SHUTDOWN, JobInterrupted)],
)
def test_an_interrupt_strikes_an_armed_job(slot, reason, kind):
    striker = threading.Timer(0.05, slot.strike, [1, reason])
    striker.start()

    with pytest.raises(kind) as caught:
        try:
            slot.arm()
            spin()
        finally:
            slot.quiet()

    striker.join()
    assert slot.fired == reason
    if kind is JobInterrupted:
        assert caught.value.reason == reason
        assert type(caught.value).__name__ == "JobInterrupted"


def test_one_that_comes_before_the_job_waits_for_it(slot):
    slot.strike(1, CANCEL)

    with pytest.raises(JobInterrupted):
        slot.arm()


def test_one_for_a_job_that_has_ended_strikes_nobody(slot):
    slot.free()
    slot.take(2, JOB, STATION, 0.0)
    slot.arm()

    slot.strike(1, CANCEL)
    threading.Event().wait(0.01)

    slot.quiet()
    assert slot.fired == ""


def test_one_that_comes_after_the_job_strikes_nobody(slot):
    slot.arm()
    slot.quiet()

    slot.strike(1, CANCEL)
    threading.Event().wait(0.01)

    slot.free()
    assert slot.fired == ""


def test_arguments_fetched_late_change_no_limit_of_the_next_job():
    board = SharedMemory(1, 1).board(0)
    slot = TaskSlot(board, 0)
    slot.take(1, JOB, STATION, 0.0)
    limits = []

    def decoded(_codec):
        limits.append(board.cells[slot._hard])
        slot.free()
        slot.take(2, JOB, STATION, 0.0)
        slot.limit(5.0, 10.0)

    body = SimpleNamespace(decoded=decoded)
    slot.prepare(1, body)
    assert board.cells[slot._hard] == 10.0
    slot.prepare(1, body)

    fetching, of_the_next = limits
    assert fetching > PREPARATION_SECONDS
    assert of_the_next == board.cells[slot._hard] == 10.0


def test_one_that_was_thrown_and_not_raised_is_taken_back():
    slot = ThreadSlot(SharedMemory(1, 1).board(0), 0)
    outcome = []

    def run():
        slot.begin_thread()
        slot.take(1, JOB, STATION, 0.0)
        for _ in range(200):
            try:
                slot.arm()
            except JobTimeout:
                pass
            finally:
                slot.quiet()
        outcome.append("survived")

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        slot.strike(1, TIMEOUT)
    thread.join()

    assert outcome == ["survived"]


def test_progress_is_kept_while_meta_cannot_be():
    slot = TaskSlot(SharedMemory(1, 1).board(0), 0)
    context = JobContext(id="j", function="f", queue="q", attempt=1, run=1)
    slot.take(1024, SimpleNamespace(id="j"), STATION, 0.0)
    slot.context = context
    context.meta["file"] = object()
    context.progress(7, 10)

    assert slot.note(1024)
    assert json.loads(slot.progress)["done"] == 7
    assert not slot.note(1024)

    context.meta["file"] = "a name"
    slot.last_note()
    assert slot.meta == '{"file":"a name"}'
    assert json.loads(slot.progress)["done"] == 7
