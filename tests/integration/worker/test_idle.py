"""Nothing polls: an idle worker sends almost nothing, and starts a job at once."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.test import override_settings

from django_redisjobs import connections
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until
from tests.servers import Server

WINDOW_SECONDS = 15
# About 1 when all is well: blocks and leases, of the process and of the liaison.
MOST_A_SECOND = 2.0
# Milliseconds when all is well. A machine that is busy delays some, polling most.
USUAL_START = timedelta(seconds=0.25)


@pytest.mark.slow
def test_an_idle_worker_sends_almost_nothing(redisjobs, start):
    server = Server()
    settings = {**redisjobs, "URL": server.url}
    with (
        override_settings(REDISJOBS=settings),
        server.client(socket_timeout=None) as client,
    ):
        start(settings=settings)
        assert jobs.add.delay(1, 1).result(timeout=60) == 2
        connections.forget()
        client.config_resetstat()
        began = time.monotonic()

        assert client.blpop(["nothing"], timeout=WINDOW_SECONDS) is None

        calls = {
            name: found["calls"] for name, found in client.info("commandstats").items()
        }
        seconds = time.monotonic() - began
        # What scripts call within counts as well; the clients' own are these.
        sent = sum(calls.get(f"cmdstat_{name}", 0) for name in SENT)
        assert sent / seconds <= MOST_A_SECOND, (sent, seconds, calls)
    server.stop()


SENT = ("evalsha", "eval", "blpop", "client|unblock", "client", "script|load", "ping")


def test_an_idle_worker_starts_a_job_at_once(redisjobs, start):
    server = Server()
    settings = {**redisjobs, "URL": server.url}
    waits = []
    with override_settings(REDISJOBS=settings), server.client() as client:
        start(settings=settings)
        assert jobs.add.delay(0, 0).result(timeout=60) == 0
        for number in range(20):
            until(lambda: is_asleep(client))
            handle = jobs.add.delay(number, 1)
            assert handle.result(timeout=60) == number + 1
            info = handle.info()
            waits.append(info.started_at - info.enqueued_at)
    server.stop()
    assert sorted(waits)[len(waits) // 2] < USUAL_START


def is_asleep(client: redis.Redis) -> bool:
    """Whether the process and the liaison block."""
    clients: Any = client.client_list()
    return sum("b" in each["flags"] for each in clients) == 2
