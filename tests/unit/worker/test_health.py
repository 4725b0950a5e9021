from __future__ import annotations

import re
from pathlib import Path

import pytest

from django_redisjobs.exceptions import ConfigurationError
from django_redisjobs.worker.health import STALE_SECONDS, Health
from django_redisjobs.worker.memory import (
    GENERATION,
    REDIS_AT,
    REGISTERED,
    STEPPED,
    STOPPING,
    TURNED,
    SharedMemory,
)
from django_redisjobs.worker.probes import make_probes, parse_address
from tests.unit.worker.test_offspring import occupy

NOW = 1000.0
OLD = NOW - STALE_SECONDS


@pytest.fixture
def memory():
    """Of a supervisor with two processes, where all is well."""
    shared = SharedMemory(2, 1)
    for number in range(2):
        board = shared.board(number)
        board.clear(1)
        board.cells[GENERATION] = board.cells[REGISTERED] = 1
        board.cells[STEPPED] = NOW - 5
    shared.common[TURNED] = shared.common[REDIS_AT] = NOW - 5
    return shared


def report(memory, now=NOW):
    boards = [memory.board(number) for number in range(2)]
    return Health(boards, memory.common, "name", ["default"]).report(now)


def test_all_is_well(memory):
    found = report(memory)

    assert found.ready
    assert found.as_json() == {
        "alive": True,
        "ready": True,
        "consuming": True,
        "redis": True,
        "stopping": False,
        "worker": "name",
        "queues": ("default",),
        "processes": {"expected": 2, "consuming": 2},
    }


def test_a_supervisor_that_does_not_go_round_is_not_alive(memory):
    memory.common[TURNED] = OLD

    found = report(memory)

    assert (found.alive, found.redis, found.consuming) == (False, True, True)
    assert not found.ready


@pytest.mark.parametrize("value", [0.0, OLD])
def test_without_redis_nobody_consumes(memory, value):
    memory.common[REDIS_AT] = value

    found = report(memory)

    assert (found.alive, found.redis, found.consuming) == (True, False, False)
    assert not found.ready


def test_one_process_that_consumes_is_enough(memory):
    memory.board(0).cells[STEPPED] = OLD

    found = report(memory)

    assert found.ready
    assert found.processes_consuming == 1


@pytest.mark.parametrize(("cell", "value"), [(STEPPED, OLD), (REGISTERED, 0)])
def test_processes_that_claim_nothing_do_not_consume(memory, cell, value):
    for number in range(2):
        memory.board(number).cells[cell] = value

    found = report(memory)

    assert (found.alive, found.redis, found.consuming) == (True, True, False)


def test_who_runs_a_job_consumes_until_its_time_is_over(memory):
    memory.board(1).cells[STEPPED] = OLD
    for number in range(2):
        memory.board(number).cells[STEPPED] = OLD
    child = type("Child", (), {"board": memory.board(0)})
    occupy(child, 0, 5, started=OLD, hard=NOW + 1)

    assert report(memory).consuming
    memory.common[TURNED] = memory.common[REDIS_AT] = NOW + 1
    assert not report(memory, NOW + 1).consuming


def test_who_stops_is_alive_and_consumes_no_more(memory):
    memory.common[STOPPING] = 1

    found = report(memory)

    assert (found.alive, found.stopping, found.consuming) == (True, True, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("localhost", 0)),
        (" [::1]:80 ", ("::1", 80)),
    ],
)
def test_addresses(text, expected):
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "host", "host:", "host:port", "h:65536", "::1:80"]
)
def test_no_addresses(text):
    with pytest.raises(ValueError, match=r"is no address.*127\.0\.0\.1:8080"):
        parse_address(text)


def test_a_port_that_is_taken_is_an_error():
    first = make_probes("127.0.0.1:0", None)
    first.open()
    (place,) = first.places
    port = place.rpartition(":")[2].removesuffix("/ready")

    with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}: .*in use"):
        make_probes(f"127.0.0.1:{port}", None).open()
    first.close()


def test_a_host_that_is_not_here_is_an_error():
    with pytest.raises(ConfigurationError, match="address of this machine"):
        make_probes("192.0.2.1:8080", None).open()


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        make_probes(None, tmp_path / "none" / "health").open()


def test_the_file_of_somebody_else_is_left_alone(tmp_path):
    settings = tmp_path / "settings.py"
    settings.write_text("DEBUG = True")

    for path in (settings, tmp_path):
        with pytest.raises(ConfigurationError, match=re.escape(str(path))):
            make_probes(None, path).open()
    assert settings.read_text() == "DEBUG = True"


def test_what_an_earlier_worker_left_is_removed(tmp_path):
    file = Path(tmp_path) / "health"
    file.write_text('{"alive": true}')

    make_probes(None, file).open()

    assert not list(tmp_path.iterdir())
