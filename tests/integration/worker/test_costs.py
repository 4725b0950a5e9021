"""What jobs cost, counted and not timed: so a slow machine changes nothing.

A bound is the most that was counted on Python 3.11 to 3.13 and Redis 5.0 to Valkey 9.1,
and 15 % more. Who makes something dearer for a good reason counts again and says why;
who makes it cheaper lowers the bound.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType
from typing import Any

import pytest
import redis

from django_redisjobs import Worker
from django_redisjobs.worker.pace import LARGEST_BATCH
from tests.integration.worker import jobs

JOBS = 32 * LARGEST_BATCH
# Fewer than that, so that retention has work, too.
KEPT = JOBS // 3
RUNS = 5
SENT = ("evalsha", "eval", "blpop")

# A worker with all the work that it can take, 64 jobs a step: 0.018, 1.80, 188, 118.
ROUND_TRIPS_A_JOB = 0.021
COMMANDS_A_JOB = 2.01
BYTES_TO_SERVER_A_JOB = 217
BYTES_FROM_SERVER_A_JOB = 136

# Python's instructions in the thread that runs the jobs: 1,480 (3.12), 1,404 (3.13).
# For a delay(), and for a job of a delay_many() with 1,000: 1,128 and 268; 1,133 and 246.
INSTRUCTIONS_A_JOB = 1700
INSTRUCTIONS_A_DELAY = 1300
INSTRUCTIONS_A_BULKED_JOB = 310

# delay() outside a transaction: 5.07, 264, 42.
COMMANDS_A_DELAY = 5.8
BYTES_TO_SERVER_A_DELAY = 295
BYTES_FROM_SERVER_A_DELAY = 48

# A job of delay_many() with 1,000: 0.006, 82, 3 (of them almost all by who counts).
COMMANDS_A_BULKED_JOB = 0.007
BYTES_TO_SERVER_A_BULKED_JOB = 94
BYTES_FROM_SERVER_A_BULKED_JOB = 3.5


@dataclass(frozen=True)
class Served:
    """What the server has counted. ``sent``: what is asked of it from outside."""

    sent: int
    commands: int
    received: int
    answered: int


@pytest.fixture
def served(own_server) -> Iterator[Callable[[], Served]]:
    """What a server has counted since the last time that it was asked."""
    server, _ = own_server
    with server.client() as client:
        last = _counted(client)

        def since() -> Served:
            nonlocal last
            before, last = last, _counted(client)
            return Served(*(now - then for now, then in zip(last, before, strict=True)))

        yield since


def _counted(client: redis.Redis) -> tuple[int, int, int, int]:
    calls: dict[str, Any] = {
        name.removeprefix("cmdstat_"): found["calls"]
        for name, found in client.info("commandstats").items()
    }
    calls.pop("info", None)
    traffic: Any = client.info("stats")
    return (
        sum(calls.get(name, 0) for name in SENT),
        sum(calls.values()),
        traffic["total_net_input_bytes"],
        traffic["total_net_output_bytes"],
    )


@pytest.fixture
def cost_of(own_server, settings, at_full_speed, served) -> Callable[[int], Served]:
    """What it costs to run so many jobs in this thread, not counting to enqueue them.

    Scripts are loaded, and whatever happens only once has happened.
    """
    _, chosen = own_server
    settings.REDISJOBS = {**chosen, "KEEP": {"succeeded": ("1h", KEPT)}}

    def cost(count: int) -> Served:
        jobs.add.delay_many([(number, 1) for number in range(count)])
        served()
        Worker(processes=0, burst=True).run()
        return served()

    cost(KEPT)
    return cost


def test_what_a_job_costs_the_server(cost_of):
    # In each moment in which the machine stands still a worker asks once more, never
    # once less: the cheapest run is the one to judge by.
    cost = min((cost_of(JOBS) for _ in range(RUNS)), key=lambda cost: cost.sent)

    assert cost.sent / JOBS <= ROUND_TRIPS_A_JOB
    assert cost.commands / JOBS <= COMMANDS_A_JOB
    assert cost.received / JOBS <= BYTES_TO_SERVER_A_JOB
    assert cost.answered / JOBS <= BYTES_FROM_SERVER_A_JOB


told_of_instructions = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="nobody tells of instructions before Python 3.12"
)


@told_of_instructions
def test_what_a_job_costs_the_interpreter(cost_of):
    jobs.add.delay_many([(number, 1) for number in range(JOBS)])

    with counted_instructions() as executed:
        Worker(processes=0, burst=True).run()

    assert executed() / JOBS <= INSTRUCTIONS_A_JOB


@told_of_instructions
def test_what_a_delay_costs_the_interpreter(served):
    jobs.add.delay(0, 1)

    with counted_instructions() as executed:
        for number in range(100):
            jobs.add.delay(number, 1)

    assert executed() / 100 <= INSTRUCTIONS_A_DELAY


@told_of_instructions
def test_what_many_cost_the_interpreter(served):
    bulk = [(number, 1) for number in range(1000)]
    jobs.add.delay_many(bulk)

    with counted_instructions() as executed:
        jobs.add.delay_many(bulk)

    assert executed() / 1000 <= INSTRUCTIONS_A_BULKED_JOB


@contextmanager
def counted_instructions() -> Iterator[Callable[[], int]]:
    """How many the calling thread executes meanwhile."""
    executed, here, tell = 0, threading.get_ident(), threading.get_ident

    def count(_code: CodeType, _offset: int) -> None:
        nonlocal executed
        if tell() == here:
            executed += 1

    monitoring = sys.monitoring
    tool, event = monitoring.PROFILER_ID, monitoring.events.INSTRUCTION
    monitoring.use_tool_id(tool, "costs")
    try:
        monitoring.register_callback(tool, event, count)
        monitoring.set_events(tool, event)
        yield lambda: executed
    finally:
        monitoring.set_events(tool, monitoring.events.NO_EVENTS)
        monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)


def test_what_a_delay_costs(served):
    jobs.add.delay(0, 1)
    served()

    for number in range(100):
        jobs.add.delay(number, 1)

    cost = served()
    assert cost.sent == 100
    assert cost.commands <= 100 * COMMANDS_A_DELAY
    assert cost.received <= 100 * BYTES_TO_SERVER_A_DELAY
    assert cost.answered <= 100 * BYTES_FROM_SERVER_A_DELAY


def test_what_many_cost(served):
    bulk = [(number, 1) for number in range(1000)]
    jobs.add.delay_many(bulk)
    served()

    jobs.add.delay_many(bulk)

    cost = served()
    assert cost.sent == 1
    assert cost.commands <= 1000 * COMMANDS_A_BULKED_JOB
    assert cost.received <= 1000 * BYTES_TO_SERVER_A_BULKED_JOB
    assert cost.answered <= 1000 * BYTES_FROM_SERVER_A_BULKED_JOB
