"""A site whose processes are killed: a database, and workers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import redis

from tests import forkserver
from tests.forkserver import ROOT, Started

TABLE = "redisjobs_outboxentry"


class Database(Protocol):
    """What a kind of database has of its own."""

    settings: Mapping[str, Any]
    an_hour_ago: str

    def run(self, sql: str) -> list[Any]:
        """Run a statement, commit, and give its rows."""


@dataclass
class Site:
    """``commit`` is a web process's request."""

    database: Database
    client: redis.Redis
    redisjobs: dict[str, Any]
    log: Path
    workers: list[Started] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.integration.outbox.settings",
            "OUTBOX_TEST_REDISJOBS": json.dumps(self.redisjobs),
            "OUTBOX_TEST_DATABASE": json.dumps(self.database.settings),
        }

    def _start(self, module: str, *arguments: str) -> Started:
        with self.log.open("ab") as log:
            return forkserver.start(
                module, *arguments, environment=self.environment, log=log
            )

    def commit(self, points: Mapping[int, str]) -> dict[int, int]:
        """Requests at the same time, each with its point of death; their statuses."""
        module = "tests.integration.outbox.commit"
        processes = {
            number: self._start(module, str(number), point)
            for number, point in points.items()
        }
        return {number: each.wait(60) for number, each in processes.items()}

    def start_worker(self) -> None:
        command = ("runworker", "default", "--processes", "1")
        self.workers.append(self._start("django", *command))

    def stop_workers(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(30)
        self.workers.clear()

    def age(self) -> None:
        """What is in the outbox has been there for long."""
        self.database.run(
            f"UPDATE {TABLE} SET created_at = {self.database.an_hour_ago}"
        )

    @property
    def made(self) -> list[int]:
        return sorted(row[0] for row in self.database.run("SELECT * FROM made"))

    @property
    def in_outbox(self) -> int:
        (row,) = self.database.run(f"SELECT count(*) FROM {TABLE}")
        return int(row[0])

    @property
    def ran(self) -> list[int]:
        found: Any = self.client.lrange(f"{self.redisjobs['PREFIX']}:notes", 0, -1)
        return sorted(map(int, found))

    def wait(self, condition: Any, seconds: float = 40.0) -> None:
        """Look again and again, for what nobody announces."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)  # noqa: TID251
