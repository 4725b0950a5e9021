"""What people ask of a worker whose processes come and go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from django_redisjobs import conf, connections
from django_redisjobs.calls import ask
from django_redisjobs.core.presence import send_message
from django_redisjobs.monitoring.staff import tell_workers
from django_redisjobs.worker import rescues
from django_redisjobs.worker.liaison import Liaison
from django_redisjobs.worker.logs import JobLog
from django_redisjobs.worker.memory import GENERATION, REGISTERED, SharedMemory
from django_redisjobs.worker.rescues import Rescuer, rescue_request
from django_redisjobs.worker.stations import posts
from tests.integration.worker import jobs
from tests.integration.worker.conftest import new_station

pytestmark = pytest.mark.usefixtures("redisjobs")


class Supervisor:
    """The line to one that wants a process rescued, and then no more."""

    def __init__(self, worker: str) -> None:
        self.closed = False
        self.heard: list[tuple[str, str]] = []
        self._ends = os.pipe()
        rescue = rescue_request(worker, reason="it ended")
        self._asks = [
            {"number": 1, "do": "rescue", **rescue},
            {"number": 2, "do": "dismiss"},
        ]

    def fileno(self) -> int:
        return self._ends[0]

    def send(self, message: Any) -> None:
        if "message" in message:
            self.heard.append((message["worker"], message["message"]))

    def flush(self) -> None: ...

    def receive(self) -> Iterator[dict[str, Any]]:
        asks, self._asks = self._asks, []
        yield from asks

    def close(self) -> None:
        for each in self._ends:
            os.close(each)


class Waiter:
    """Brings what somebody has said to a process that is gone by now."""

    def __init__(self, key: str) -> None:
        self.popped = key, "quiet"

    def wait(self, *_: Any) -> tuple[str, str]:
        return self.popped


def leave(worker: str, message: str) -> None:
    assert ask(send_message(conf.keys_for("default"), worker, message))


def make_liaison(line: Any) -> Liaison:
    memory = SharedMemory(1, 1)
    board = memory.board(0)
    return Liaison(posts(["default"]), [board], memory.common, line, "here")


def test_what_an_ended_process_has_not_read_is_for_its_worker():
    new_station("gone-1")
    leave("gone-1", "stop")
    line = Supervisor("gone-1")

    make_liaison(line).run()
    line.close()

    assert line.heard == [("gone-1", "stop")]


def test_what_a_vanished_worker_has_not_read_is_for_nobody_else(monkeypatch):
    station = new_station("gone-1")
    leave("gone-1", "stop")
    monkeypatch.setattr(rescues, "is_left_alone", lambda _info: True)
    heard: list[Any] = []
    rescuer = Rescuer(
        [station.post], JobLog("here"), lambda *each: heard.append(each), lambda: None
    )

    rescuer.rescue_vanished(connections.worker_client(), station.post, ["gone-1"])

    assert not ask(send_message(conf.keys_for("default"), "gone-1", "stop"))
    assert heard == []


def test_what_comes_late_for_a_process_that_began_anew_is_for_its_worker():
    line = Supervisor("")
    liaison = make_liaison(line)
    board = liaison._beats._boards[0]
    board.cells[GENERATION] = board.cells[REGISTERED] = 2
    liaison._waiter = Waiter(conf.keys_for("default").control("gone-1"))  # type: ignore[assignment]

    liaison._wait(1)
    line.close()

    assert line.heard == [("gone-1", "quiet")]


@pytest.mark.parametrize("message", ["stop", "quiet"])
def test_a_worker_whose_processes_live_for_one_job_is_told(start, message):
    *_, last = jobs.add.delay_many([(1, 1)] * 5000)
    worker = start(max_jobs=1, processes=2, name="short")
    jobs.add.using(priority=9).delay(1, 1).result(timeout=60)

    told = tell_workers("short", message)

    assert told
    assert worker.wait() == 0
    assert last.status().value == "pending"
