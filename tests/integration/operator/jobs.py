"""Job functions for the command's tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from asgiref.sync import sync_to_async

from django_redisjobs import Retry, current_job, job


@job
def add(a: int, b: int = 2) -> int:
    return a + b


@job(queue="high", retry=Retry(max=1, base=60))
def fail(message: str) -> None:
    raise ValueError(message)


@job(queue="low")
def later() -> None: ...


@job
async def wait_a_turn(a: int) -> int:
    await asyncio.sleep(0)
    return a + 1


@job(queue="high", retry=0)
def interrupt() -> None:
    raise KeyboardInterrupt


tidied_up = threading.Event()


@job(queue="high", retry=0)
async def wait_for_ever() -> None:
    """Runs what a test has put there, and tidies up in Django's thread."""
    try:
        for each in meddle:
            await sync_to_async(each, thread_sensitive=False)()
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        await sync_to_async(tidied_up.set)()


@job(queue="high")
def tell() -> dict[str, object]:
    context = current_job()
    assert context is not None
    context.meta["seen"] = True
    print("said by the job")  # noqa: T201
    return {"run": context.run, "attempt": context.attempt, "queue": context.queue}


meddle: list[Callable[[], object]] = []


@job(queue="high")
def be_meddled_with() -> str:
    """Runs what a test has put there."""
    for each in meddle:
        each()
    return "done"
