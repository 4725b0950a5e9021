"""``runworker --health`` and ``--health-file``: what probes are told."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

pytestmark = pytest.mark.usefixtures("redisjobs")

HERE = "127.0.0.1:0"


class Probe:
    """Asks a worker how it is."""

    def __init__(self, worker: Any) -> None:
        pattern = r"Health: http://127\.0\.0\.1:(\d+)/ready"
        self.port = int(until(lambda: re.search(pattern, worker.output))[1])

    def get(self, path: str, method: str = "GET") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
            return response.status, json.loads(body) if body else None
        finally:
            connection.close()

    def until_ready(self) -> None:
        until(lambda: self.get("/ready")[0] == 200, 60)

    def until_not_ready(self) -> dict[str, Any]:
        until(lambda: self.get("/ready")[0] == 503, 60)
        return self.get("/ready")[1]


@pytest.mark.slow
def test_a_worker_that_is_well(start, tmp_path):
    file = tmp_path / "health"
    worker = start("high", "low", processes=2, health=HERE, health_file=str(file))
    probe = Probe(worker)
    probe.until_ready()

    status, report = probe.get("/live?verbose")
    assert (status, report["alive"], report["redis"]) == (200, True, True)
    assert report["queues"] == ["high", "low"]
    assert report["processes"]["expected"] == 2
    assert probe.get("/ready/", "HEAD") == (200, None)
    assert probe.get("/")[0] == 404
    until(lambda: file.exists() and json.loads(file.read_text())["ready"])
    first = file.read_text()
    assert json.loads(first)["consuming"] is True
    until(lambda: file.read_text() != first)

    assert worker.stop() == 0
    assert not file.exists()
    with pytest.raises(ConnectionRefusedError):
        probe.get("/live")


def test_a_worker_within_one_process(start):
    worker = start(processes=0, health=HERE)
    probe = Probe(worker)
    probe.until_ready()

    assert probe.get("/live")[0] == 200
    assert worker.stop() == 0


@pytest.mark.slow
def test_redis_is_told_from_the_worker(start, own_server, tmp_path):
    server, settings = own_server
    file = tmp_path / "health"
    worker = start(settings=settings, health=HERE, health_file=str(file))
    probe = Probe(worker)
    probe.until_ready()

    server.kill()
    report = probe.until_not_ready()

    assert (report["alive"], report["redis"]) == (True, False)
    assert report["consuming"] is False
    assert probe.get("/live")[0] == 200
    # Who restarts a worker because of the file has no reason to.
    file.unlink(missing_ok=True)
    until(lambda: file.exists() and '"ready": false' in file.read_text())
    server.start()
    probe.until_ready()
    until(lambda: '"ready": true' in file.read_text())


@pytest.mark.slow
def test_a_process_that_stands_still_is_told_from_redis(start):
    worker = start(health=HERE)
    probe = Probe(worker)
    probe.until_ready()
    pid = jobs.whoami.delay().result(timeout=20)[0]
    child = next(each for each in worker.children() if each.pid == pid)

    child.suspend()
    report = probe.until_not_ready()

    assert (report["alive"], report["redis"], report["consuming"]) == (
        True,
        True,
        False,
    )
    assert report["processes"] == {"expected": 1, "consuming": 0}
    assert probe.get("/live")[0] == 200
    child.resume()
    probe.until_ready()


@pytest.mark.slow
def test_a_supervisor_that_stands_still_is_not_alive(start):
    worker = start(health=HERE)
    probe = Probe(worker)
    probe.until_ready()

    worker.signal(signal.SIGSTOP)
    until(lambda: probe.get("/live")[0] == 503, 60)
    worker.signal(signal.SIGCONT)

    until(lambda: probe.get("/live")[0] == 200)
    assert worker.stop() == 0


def test_who_stops_is_alive_and_not_ready(start, events):
    worker = start(health=HERE)
    probe = Probe(worker)
    handle = jobs.sleep.delay(3.0, "done")
    events.wait()
    probe.until_ready()

    worker.signal(signal.SIGTERM)
    report = probe.until_not_ready()

    assert (report["alive"], report["stopping"]) == (True, True)
    assert worker.wait() == 0
    assert handle.result(timeout=0) == "done"


def test_whoever_answers_may_die(start):
    worker = start(health=HERE)
    probe = Probe(worker)
    probe.until_ready()
    # The last to be started at the beginning.
    answering = worker.children()[-1]

    answering.kill()

    until(lambda: answering.pid not in [each.pid for each in worker.children()])
    until(lambda: is_answered(probe))
    # None of them has to give up first.
    assert probe.get("/live")[0] == 200
    assert jobs.add.delay(1, 1).result(timeout=20) == 2
    assert worker.stop() == 0


def is_answered(probe):
    try:
        return probe.get("/ready")[0] == 200
    except OSError:
        return False


def test_silent_and_rude_clients_hold_up_nobody(start):
    worker = start(health=HERE)
    probe = Probe(worker)
    probe.until_ready()
    callers = [socket.create_connection(("127.0.0.1", probe.port)) for _ in range(40)]
    for caller in callers[::2]:
        caller.sendall(b"\x00\xff garbage\r\n\r\n")

    assert jobs.add.delay(1, 1).result(timeout=20) == 2
    for caller in callers:
        caller.close()
    assert worker.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--health", "8080"], "'8080' is no address"),
        (["--health", "192.0.2.1:8080"], "address of this machine"),
        (["--health-file", "/nonexistent/health"], "/nonexistent/health cannot"),
    ],
)
def test_what_cannot_be_had_is_an_error_at_the_start(arguments, message):
    with pytest.raises(CommandError, match=message):
        call_command("runworker", "--processes", "1", *arguments)
