"""The liaison's process: who replaces it, and when."""

from __future__ import annotations

import selectors
from collections.abc import Iterator
from typing import Any

import pytest

from django_redisjobs.worker import delegation
from django_redisjobs.worker.delegation import LiaisonProcess
from django_redisjobs.worker.memory import SharedMemory


class Machine:
    """Time and processes, of which each dies when it is looked at."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lived = 0.0
        self.started: list[float] = []

    def fork(self, *_: Any) -> int:
        self.started.append(self.now)
        return len(self.started)

    def waitpid(self, pid: int, _: int) -> tuple[int, int]:
        self.now += self.lived
        return pid, 9


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(delegation, "fork", made.fork)
    monkeypatch.setattr(delegation.os, "waitpid", made.waitpid)
    monkeypatch.setattr(delegation, "monotonic", lambda: made.now)
    return made


@pytest.fixture
def liaison() -> Iterator[LiaisonProcess]:
    memory = SharedMemory(1, 1)
    with selectors.DefaultSelector() as selector:
        yield LiaisonProcess(selector, [], [], memory.common, "w", list)
        for key in selector.get_map().values():
            key.fileobj.close()  # type: ignore[union-attr]


def watch(liaison: LiaisonProcess, machine: Machine, seconds: float) -> None:
    end = machine.now + seconds
    while machine.now < end:
        liaison.tend(machine.now)
        liaison.reap(over=False)
        machine.now += 0.01


def test_one_that_dies_is_replaced_at_once(
    liaison: LiaisonProcess, machine: Machine
) -> None:
    liaison.start()
    machine.lived = 60.0

    liaison.reap(over=False)

    assert machine.started == [100.0, 160.0]


def test_those_that_die_at_once_are_replaced_ever_more_slowly(
    liaison: LiaisonProcess, machine: Machine
) -> None:
    liaison.start()

    watch(liaison, machine, 20)

    assert 20 < len(machine.started) < 30
    assert machine.started[1] < 100.2
    # A lease is renewed even so.
    gaps = zip(machine.started, machine.started[1:], strict=False)
    assert max(later - earlier for earlier, later in gaps) < 1.1
