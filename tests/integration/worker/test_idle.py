"""Nothing polls: an idle worker sends almost nothing, and starts a job at once."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
import redis

from django_redisjobs import connections
from tests.integration.worker import jobs
from tests.integration.worker.conftest import sleepers, until

SETTLED_SECONDS = 3
WINDOW_SECONDS = 21
# Half a minute brings two blocks and two looks for work of the process, five blocks and
# five beats of the liaison.
MOST_A_SECOND = 0.5
# A window may begin just before some of these, and end just after others.
ONE_ROUND = 4
# Milliseconds when all is well. A machine that is busy delays some, polling most.
USUAL_START = timedelta(seconds=0.25)


@pytest.mark.slow
def test_an_idle_worker_sends_almost_nothing(own_server, start):
    server, settings = own_server
    with server.client(socket_timeout=None) as client:
        start(settings=settings)
        assert jobs.add.delay(1, 1).result(timeout=60) == 2
        connections.forget()
        # As it starts it looks twice for what dead ones left.
        assert client.blpop(["nothing"], timeout=SETTLED_SECONDS) is None
        client.config_resetstat()
        began = time.monotonic()

        assert client.blpop(["nothing"], timeout=WINDOW_SECONDS) is None

        seconds = time.monotonic() - began
        calls = calls_served(client)
        # What scripts call within counts as well; the clients' own are these.
        sent = sum(calls.get(name, 0) for name in SENT)
        assert sent <= MOST_A_SECOND * seconds + ONE_ROUND, f"{sent} of {calls}"


SENT = (
    *("evalsha", "eval", "blpop", "client|unblock", "client|id", "client"),
    *("script|load", "ping", "hgetall", "mget"),
)


def test_an_idle_worker_starts_a_job_at_once(own_server, start):
    server, settings = own_server
    waits = []
    with server.client() as client:
        start(settings=settings)
        assert jobs.add.delay(0, 0).result(timeout=60) == 0
        for number in range(20):
            until(lambda: is_asleep(client))
            handle = jobs.add.delay(number, 1)
            assert handle.result(timeout=60) == number + 1
            info = handle.info()
            waits.append(info.started_at - info.enqueued_at)
    assert sorted(waits)[len(waits) // 2] < USUAL_START


def test_a_worker_sleeps_as_soon_as_a_burst_is_over(own_server, start):
    """The burst leaves seven tokens that nobody was woken by; each of them cost a step."""
    server, settings = own_server
    bursts = 10
    with server.client() as client:
        start(settings=settings)
        assert jobs.add.delay(0, 0).result(timeout=60) == 0
        until(lambda: is_asleep(client))
        client.config_resetstat()
        for _ in range(bursts):
            *_, last = jobs.add.delay_many([(number, 1) for number in range(8)])
            until(lambda last=last: last.status() == "succeeded" and is_asleep(client))

        # One to enqueue, one that claims, one or two that settle: with the tokens ten.
        calls = calls_served(client)
        assert calls["evalsha"] + calls.get("eval", 0) <= 6 * bursts


def calls_served(client: redis.Redis) -> dict[str, int]:
    """How often the server has run each command."""
    statistics: Any = client.info("commandstats")
    return {
        name.removeprefix("cmdstat_"): found["calls"]
        for name, found in statistics.items()
    }


def is_asleep(client: redis.Redis) -> bool:
    """Whether the process and the liaison block."""
    return len(sleepers(client)) == 2
