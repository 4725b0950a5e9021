"""An address book of what can be downloaded, and jobs that wait until they are many."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

from django_redisjobs import Worker, get_connection, get_queue, job
from django_redisjobs.conf import get_settings

THREADS, COROUTINES = 8, 1000
__all__ = ["get_queue"]

barrier = threading.Barrier(THREADS, timeout=60)
arrived: list[int] = []
complete = asyncio.Event()


def download(address: str) -> bytes:
    return address.encode()


@job(retry=0)
def meet_in_threads() -> None:
    barrier.wait()


@job(retry=0)
async def meet_in_coroutines() -> None:
    arrived.append(1)
    if len(arrived) == COROUTINES:
        complete.set()
    await asyncio.wait_for(complete.wait(), 60)


@job(retry=0)
def meet_in_processes() -> int:
    client, key = get_connection(), f"{get_settings().prefix}:processes"
    client.sadd(key, os.getpid())
    deadline = time.monotonic() + 60
    while client.scard(key) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)  # noqa: TID251 - nobody announces it
    return os.getpid()


def run(*calls: Any, **options: Any) -> list[Any]:
    handles = [call.delay() for call in calls]
    Worker(burst=True, verbosity=0, **options).run()
    return [handle.result(timeout=0) for handle in handles]


def check() -> None:
    names = globals()
    handles = [
        names["count_primes"].delay(100),
        names["fetch"].delay("https://example.com/"),
        names["ask_device"].delay(7),
    ]
    Worker(processes=1, burst=True, verbosity=0).run()
    assert [handle.result(timeout=0) for handle in handles] == [
        25,
        20,
        "device 7 is well",
    ]
    assert len(set(run(meet_in_processes, meet_in_processes, processes=2))) == 2
    run(*[meet_in_threads] * THREADS, processes=1, threads=THREADS)
    run(*[meet_in_coroutines] * COROUTINES, processes=1, async_concurrency=COROUTINES)
