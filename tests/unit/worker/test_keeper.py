"""Whom a keeper interrupts."""

from __future__ import annotations

from types import SimpleNamespace

from django_redisjobs.worker.keeper import Keeper
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
