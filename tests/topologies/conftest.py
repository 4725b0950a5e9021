"""Servers in company, and workers in processes of their own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.test import override_settings

from .servers import Cluster, MovingAddress, SentinelPair

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pair() -> Iterator[SentinelPair]:
    """Of the test alone: it may fail over."""
    started = SentinelPair()
    yield started
    started.stop()


@pytest.fixture
def address() -> Iterator[MovingAddress]:
    """Of the test alone: it moves."""
    started = MovingAddress()
    yield started
    started.stop()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Of the test alone; a module that shares one has its own fixture."""
    started = Cluster()
    yield started
    started.stop()


@pytest.fixture
def use() -> Iterator[Callable[..., dict[str, Any]]]:
    """REDISJOBS with this URL for the test: ``use(url, QUEUES={…})``."""
    begun: list[override_settings] = []

    def begin(url: str, **more: Any) -> dict[str, Any]:
        redisjobs = {
            "URL": url,
            "PREFIX": f"t{secrets.token_hex(5)}",
            # Three groups, which are in three thirds of the slots.
            "QUEUES": {
                "high": {"GROUP": "a"},
                "default": {"GROUP": "b"},
                "low": {"GROUP": "c"},
            },
            **more,
        }
        override = override_settings(REDISJOBS=redisjobs)
        override.enable()
        begun.append(override)
        return redisjobs

    yield begin
    for override in reversed(begun):
        override.disable()


class Running:
    """``manage.py runworker`` and what it wrote."""

    def __init__(self, redisjobs: dict[str, Any], arguments: list[str], log: Path):
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "django", "runworker", *arguments],
                cwd=ROOT,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "tests.topologies.settings",
                    "TOPOLOGY_TEST_REDISJOBS": json.dumps(redisjobs),
                    "PYTHONPATH": str(ROOT),
                },
                stdout=output,
                stderr=output,
            )

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def end(self) -> None:
        if self.process.poll() is None:
            this = psutil.Process(self.process.pid)
            for each in [*this.children(recursive=True), this]:
                try:
                    each.kill()
                except psutil.NoSuchProcess:
                    continue
            self.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a worker: ``start(redisjobs, "--processes", "2")``."""
    begun: list[Running] = []

    def begin(redisjobs: dict[str, Any], *arguments: str) -> Running:
        log = tmp_path / f"worker-{len(begun)}.log"
        begun.append(Running(redisjobs, [*arguments, "-v", "2"], log))
        return begun[-1]

    yield begin
    for worker in begun:
        worker.end()
        sys.stdout.write(f"--- {worker.log.name}\n{worker.log.read_text()}")
