"""``memory://``: the whole of it, in one process."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_redisjobs import Retry, Worker, connections, current_job, get_queue, job
from django_redisjobs.connections import memory
from django_redisjobs.exceptions import ConfigurationError, JobFailed


@job
def add(one: int, two: int) -> int:
    return one + two


@job(retry=Retry(max=2, base=0, jitter=False))
def stubborn() -> int:
    this = current_job()
    assert this is not None
    if this.attempt < 3:
        raise ConnectionError("not yet")
    return this.attempt


@job(retry=0)
def fail() -> None:
    raise ValueError("wanted")


@job
async def add_later(one: int, two: int) -> int:
    await asyncio.sleep(0)
    return one + two


@pytest.fixture(autouse=True)
def in_memory() -> Iterator[None]:
    memory.empty()
    with override_settings(REDISJOBS={"URL": "memory://", "QUEUES": ["default"]}):
        yield
    memory.empty()


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker in a thread, as some test suites have one."""
    working = Worker(processes=0, threads=2, verbosity=0)
    thread = threading.Thread(target=working.run)
    thread.start()
    yield working
    working.stop()
    thread.join(20)
    assert not thread.is_alive()


def burst() -> None:
    Worker(processes=0, burst=True, verbosity=0).run()


def test_jobs_run_in_a_burst() -> None:
    handles = [add.delay(1, number) for number in range(200)]
    later, failing = add_later.delay(2, 3), fail.delay()
    delayed = add.using(run_after="1h").delay(1, 2)

    burst()

    assert [each.result(timeout=0) for each in handles] == list(range(1, 201))
    assert later.result(timeout=0) == 5
    with pytest.raises(JobFailed, match="wanted"):
        failing.result(timeout=0)
    assert delayed.status() == "scheduled"
    counts = get_queue("default").counts()
    assert (counts.succeeded, counts.failed, counts.scheduled) == (201, 1, 1)


def test_a_worker_in_a_thread_serves_others_and_event_loops(worker: Worker) -> None:
    async def by_asyncio() -> int:
        handle = await add_later.adelay(3, 4)
        return await handle.aresult(timeout=60)

    assert stubborn.delay().result(timeout=60) == 3
    assert asyncio.run(by_asyncio()) == 7
    assert add.delay(1, 2).result(timeout=60) == 3


def test_all_clients_share_one_server() -> None:
    async def read() -> Any:
        return await connections.async_client().get("a")

    connections.client().set("a", 1)

    assert connections.blocking_client().get("a") == b"1"
    assert connections.get_connection().get("a") == b"1"
    assert asyncio.run(read()) == b"1"
    assert connections.is_within_process()
    assert connections.describe() == "memory:// in this process"


def test_threads_that_come_first_at_once_share_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both, make = threading.Barrier(2), memory._fakeredis().FakeServer
    opened: list[redis.Redis] = []

    def make_beside(**options: Any) -> Any:
        with suppress(threading.BrokenBarrierError):
            both.wait(1)
        return make(**options)

    monkeypatch.setattr(memory._fakeredis(), "FakeServer", make_beside)
    threads = [
        threading.Thread(target=lambda: opened.append(memory.open_client()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, other = opened

    one.set("a", 1)

    assert other.get("a") == b"1"


def test_a_blocked_call_hears_another_thread() -> None:
    heard: list[Any] = []
    waiting = threading.Thread(
        target=lambda: heard.append(connections.blocking_client().blpop(["a"], 20))
    )
    waiting.start()
    connections.client().rpush("a", 1)
    waiting.join()

    assert heard == [(b"a", b"1")]


def test_a_forked_child_has_an_empty_one_of_its_own() -> None:
    connections.client().set("a", 1)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = 0 if connections.client().get("a") is None else 2
        finally:
            os._exit(status)

    assert os.waitpid(pid, 0)[1] == 0
    assert connections.client().get("a") == b"1"


def test_processes_cannot_serve_it() -> None:
    with pytest.raises(CommandError, match="memory://"):
        call_command("runworker", processes=2)


def test_the_error_without_the_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    memory._fakeredis.cache_clear()
    memory.empty()
    connections.forget()
    try:
        with pytest.raises(ConfigurationError, match=r"django-redisjobs\[testing\]"):
            connections.client()
    finally:
        memory._fakeredis.cache_clear()


def test_it_answers_as_a_server_does() -> None:
    with pytest.raises(redis.ResponseError):
        connections.client().execute_command("LPUSH", "a")
