"""Whom a keeper interrupts, and how long it stays awake."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from django_redisjobs.worker.keeper import LINGER_SECONDS, Keeper
from django_redisjobs.worker.memory import SharedMemory
from django_redisjobs.worker.outcome import TIMEOUT
from django_redisjobs.worker.slots import Slot


class Recorder(Slot):
    def __init__(self, board):
        super().__init__(board, 0)
        self.struck = []

    def strike(self, code, reason):
        self.struck.append((code, reason))


def occupy(slot, code, *, generation):
    station = SimpleNamespace(generation=generation, alive=True)
    slot.take(code, SimpleNamespace(id="job"), station, 0.0)
    slot.limit(1.0, 100.0)
    return station


def make_keeper(slot):
    crew = SimpleNamespace(running=lambda: [slot])
    return Keeper(None, None, crew, None, None)


def test_a_job_is_told_once_that_its_time_is_over():
    slot = Recorder(SharedMemory(1, 1).board(0))
    keeper = make_keeper(slot)
    occupy(slot, 1024, generation=1)

    for _ in range(3):
        keeper._interrupt_late([slot], 2.0)

    assert slot.struck == [(1024, TIMEOUT)]


def test_codes_begin_anew_with_a_new_worker_id():
    slot = Recorder(SharedMemory(1, 1).board(0))
    keeper = make_keeper(slot)
    station = occupy(slot, 1024, generation=1)
    keeper._interrupt_late([slot], 2.0)

    station.alive = False
    keeper.interrupt_void()
    slot.free()
    occupy(slot, 1024, generation=2)
    slot.struck.clear()
    keeper._interrupt_late([slot], 2.0)

    assert slot.struck == [(1024, TIMEOUT)]


# The difference between a moment and the next tick is more than a tick at some of these.
@pytest.mark.parametrize("now", [0.5, 100.0, 10_000.0, 30_000.0, 40_000.0, 5e6])
def test_it_stays_awake_for_a_while_after_each_job_and_no_longer(now: float):
    crew = SimpleNamespace(running=list, started=0)
    holdings = SimpleNamespace(has_outcomes=False, has_unstarted=False)
    keeper = Keeper(SimpleNamespace(is_in_batch=False), holdings, crew, None, None)

    def is_alert(moment: float) -> bool:
        seconds = keeper._patience(moment)
        assert keeper.alert is (seconds is not None)
        return keeper.alert

    assert not is_alert(now)
    for begun, later in enumerate((0.0, 1.0, 1.04, 1.08), start=1):
        crew.started = begun
        assert is_alert(now + later)
    assert is_alert(now + 1.08 + 0.9 * LINGER_SECONDS)
    assert not is_alert(now + 1.08 + 1.1 * LINGER_SECONDS)


def test_the_process_is_told_that_it_is_broken():
    def broken() -> list[Slot]:
        raise KeyError("of ours")

    failures: list[BaseException] = []
    crew = SimpleNamespace(running=broken, fail=failures.append)
    keeper = Keeper(None, None, crew, None, None)

    keeper.start()
    keeper.join(10)

    assert [type(each) for each in failures] == [KeyError]


@pytest.mark.parametrize("is_asked", [False, True])
def test_redis_is_back_when_it_was_asked(*, is_asked: bool):
    news: list[str] = []
    trouble = SimpleNamespace(over=lambda: news.append("over"))
    keeper = Keeper(None, None, None, trouble, None)

    keeper._redis(0.0, lambda: is_asked)

    assert news == (["over"] if is_asked else [])
