"""One real server a run, a prefix of its own for each test."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.test import override_settings

from django_redisjobs.core import scripts
from tests.servers import IN_PROCESS, MemoryServer, Server

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what is to run in the background so, and who inherits that can
    # never be stopped with Ctrl-C, which some tests try.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Most tests wait for processes and servers most of the time."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    affinity = getattr(os, "sched_getaffinity", None)
    return 2 * (len(affinity(0)) if affinity else os.cpu_count() or 1)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server for the whole run. Who breaks it starts one of their own."""
    if os.environ.get("REDISJOBS_TEST_SERVER") == IN_PROCESS:
        started: Any = MemoryServer()
    else:
        started = Server()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def redis_url(server: Server) -> str:
    return server.url


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """A plain redis-py client; replies are bytes."""
    with server.client() as opened:
        yield opened


@pytest.fixture
def prefix(client: redis.Redis) -> Iterator[str]:
    """A prefix that no other test uses. What is left under it is deleted."""
    name = f"t{secrets.token_hex(5)}"
    yield name
    for keys in _batches(client.scan_iter(match=f"{name}:*", count=1000)):
        client.delete(*keys)


def _batches(keys: Iterator[Any], size: int = 500) -> Iterator[list[Any]]:
    batch = []
    for key in keys:
        batch.append(key)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


@pytest.fixture
def redisjobs(redis_url: str, prefix: str) -> Iterator[dict[str, Any]]:
    """REDISJOBS of this test: the server of the run, the prefix of the test.

    For other values use ``override_settings(REDISJOBS={**redisjobs, …})``.
    """
    settings = {
        "URL": redis_url,
        "PREFIX": prefix,
        "QUEUES": ["high", "default", "low"],
    }
    with override_settings(REDISJOBS=settings):
        yield settings


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands each round trip has from now on."""
    made: list[int] = []
    send = scripts.send

    def counted(client: Any, commands: Any) -> Any:
        made.append(len(commands))
        return send(client, commands)

    monkeypatch.setattr(scripts, "send", counted)
    return made
