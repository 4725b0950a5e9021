"""Real workers in processes of their own, on the server of the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from django.test import override_settings

from django_redisjobs import conf, connections
from django_redisjobs.core.consumer import Consumer
from django_redisjobs.core.presence import Remains, rescue
from django_redisjobs.core.records import DEFAULT_KEEP
from django_redisjobs.core.scripts import perform
from django_redisjobs.worker.pace import LARGEST_BATCH, Pace
from django_redisjobs.worker.stations import Station, posts
from tests import forkserver
from tests.forkserver import ROOT, Started
from tests.servers import Server

# Seconds. A worker starts within one, and on a busy machine within many.
PATIENCE = 60


class Running:
    """A worker process and what it writes to its standard error."""

    def __init__(self, process: Started, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def output(self) -> str:
        return self.log.read_text()

    def children(self) -> list[psutil.Process]:
        """All processes under the supervisor, in the order of their start."""
        found = psutil.Process(self.process.pid).children()
        return sorted(found, key=lambda each: each.create_time())

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """The exit status."""
        return self.process.wait(seconds)

    def stop(self, seconds: float = PATIENCE) -> int:
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def end(self) -> None:
        if self.process.poll() is None:
            # Who ends at this moment takes its children along.
            with suppress(psutil.NoSuchProcess):
                for each in [*self.children(), psutil.Process(self.process.pid)]:
                    with suppress(psutil.NoSuchProcess):
                        each.kill()
            self.process.wait()


class Events:
    """What jobs tell while they run."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._key = f"{prefix}:events"
        self._gate = f"{prefix}:gate"

    def wait(self, seconds: int = PATIENCE) -> list[str]:
        """The words of the next event."""
        reply: Any = self._client.blpop([self._key], timeout=seconds)
        assert reply is not None, "no event came"
        return reply[1].decode().split(" ")

    def open_gate(self, number: int) -> None:
        """Let so many of the jobs that wait at the gate pass."""
        self._client.rpush(self._gate, *["open"] * number)

    def all(self) -> list[str]:
        raw: Any = self._client.lrange(self._key, 0, -1)
        return [each.decode() for each in raw]


@pytest.fixture
def events(client: redis.Redis, prefix: str) -> Events:
    return Events(client, prefix)


@pytest.fixture
def start(
    redisjobs: dict[str, Any], tmp_path: Path
) -> Iterator[Callable[..., Running]]:
    """Start a worker: ``start(processes=1, overrun=0.5, settings={"LEASE": 3})``.

    With a ``command`` of Python's it is started by exec, else by the fork server. By exec
    it may write to another ``output`` than its log.
    """
    begun: list[Running] = []

    def begin(
        *queues: str,
        settings: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        command: list[str] | None = None,
        output: int | None = None,
        **options: Any,
    ) -> Running:
        options = {"processes": 1, "verbosity": 2, **options}
        if queues:
            options["queues"] = list(queues)
        chosen = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.integration.worker.settings",
            "WORKER_TEST_REDISJOBS": json.dumps({**redisjobs, **(settings or {})}),
            "PYTHONPATH": str(ROOT),
            **(environment or {}),
        }
        log = tmp_path / f"worker-{len(begun)}.log"
        process: Started
        with log.open("wb") as file:
            if command:
                process = subprocess.Popen(
                    [sys.executable, "-W", "error::RuntimeWarning", *command],
                    cwd=ROOT,
                    env=chosen,
                    stdout=file if output is None else output,
                    stderr=file if output is None else output,
                )
            else:
                process = forkserver.start(
                    "tests.integration.worker.start",
                    json.dumps(options),
                    environment=chosen,
                    log=file,
                )
        begun.append(Running(process, log))
        return begun[-1]

    yield begin
    for worker in begun:
        worker.end()
        sys.stdout.write(f"--- {worker.log.name}\n{worker.output}")


@pytest.fixture
def own_server(redisjobs: dict[str, Any]) -> Iterator[tuple[Server, dict[str, Any]]]:
    """A server for this test alone, to break or to watch, and the settings that name it."""
    server = Server(append_only=True)
    changed = {**redisjobs, "URL": server.url}
    with override_settings(REDISJOBS=changed):
        yield server, changed
        connections.forget()
    server.stop()


@pytest.fixture
def left_in_redis(client: redis.Redis, prefix: str) -> Callable[[], set[str]]:
    """Names of keys that only a worker at work may have."""

    def look() -> set[str]:
        keys: Any = client.keys(f"{prefix}:*")
        parts = {key.decode().split("}:", 1)[-1].split(":")[0] for key in keys}
        return parts & {"claimed", "worker", "workers", "control", "state"}

    return look


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Look again and again, for what nobody announces; gives what came true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never came true: {condition}"
        time.sleep(0.02)  # noqa: TID251
    return found


def sleepers(client: redis.Redis) -> list[Any]:
    """Who waits for a list: each process that has nothing to do, and the liaison."""
    clients: Any = client.client_list()
    return [each for each in clients if "b" in each["flags"] and each["cmd"] == "blpop"]


@pytest.fixture
def at_full_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers take their jobs for fast ones at once, however slow this machine is."""
    monkeypatch.setattr(Pace, "batch", LARGEST_BATCH)
    monkeypatch.setattr(Pace, "runs_ahead", True)


def break_the_connection() -> None:
    """Of this thread's short calls, where one is under way."""
    pool: Any = connections.worker_client().connection_pool
    for connection in pool._in_use_connections:
        connection.disconnect()


def new_station(worker: str) -> Station:
    """Of the queue ``default``, registered."""
    (post,) = posts(["default"])
    made = Station(post, connections.worker_client(), worker, 1)
    made.register({"name": worker})
    return made


def crash_twice(queue: str) -> None:
    """Two workers claim the next job and die of it."""
    client, keys = connections.client(), conf.keys_for(queue)
    for worker in ("first", "second"):
        bounds: Any = {"max_crashes": 3, "keep": DEFAULT_KEEP}
        consumer = Consumer(client, keys, worker, [queue], lease_ms=30_000, **bounds)
        consumer.register({})
        (job,) = consumer.exchange([], want=1).jobs
        running = {job.token: Remains()}
        perform(client, rescue(keys, worker, running=running, reason="died", **bounds))
