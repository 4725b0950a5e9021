"""Nothing polls: what an idle worker sends is counted by the server."""

from __future__ import annotations

import time

import pytest
from django.test import override_settings

from django_redisjobs import connections
from tests.integration.worker import jobs
from tests.servers import Server

WINDOW_SECONDS = 15
# About 1 when all is well: blocks and leases, of the process and of the liaison.
MOST_A_SECOND = 2.0


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
