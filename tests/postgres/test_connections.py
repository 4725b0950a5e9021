"""Connections of workers: none crosses a fork, and a stale one costs no job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from django_redisjobs.worker import databases
from tests.postgres.jobs import ask

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def terminate(backends: list[int]) -> None:
    """As a restart of the database would, or a firewall that forgets."""
    told = connection.settings_dict
    with psycopg.connect(
        host=told["HOST"], port=told["PORT"], user="tests", dbname="postgres"
    ) as other:
        for backend in backends:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [backend])


@pytest.fixture
def start(
    redisjobs: dict[str, Any], tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    begun: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.postgres.worker_settings",
            "POSTGRES_TEST_REDISJOBS": json.dumps(redisjobs),
            "POSTGRES_TEST_PORT": str(connection.settings_dict["PORT"]),
        }
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "django", "runworker", *arguments],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.terminate()
        process.wait(60)
    sys.stdout.write((tmp_path / "log").read_text())


@pytest.mark.usefixtures("redisjobs")
def test_no_encrypted_connection_crosses_a_fork(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    start("--processes", "3")

    handles = ask.delay_many([(50,)] * 60)
    told = [handle.result(timeout=60) for handle in handles]

    (at_import,) = {before for _, _, before, _ in told}
    backends = {pid: backend for pid, backend, _, _ in told}
    # Each process has one of its own, which it keeps; none has the supervisor's.
    assert {(pid, backend) for pid, backend, _, _ in told} == set(backends.items())
    assert len(set(backends.values())) == len(backends)
    assert at_import not in backends.values()
    assert all(encrypted for *_, encrypted in told)


@pytest.mark.usefixtures("redisjobs")
def test_a_connection_that_went_stale_costs_no_job(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    start("--processes", "1")
    _, backend, _, _ = ask.delay(1).result(timeout=60)

    terminate([backend])
    # What goes stale does so while nobody uses it.
    threading.Event().wait(2 * databases.IDLE_SECONDS)

    _, other, _, _ = ask.delay(1).result(timeout=60)
    assert other != backend
