"""Jobs that users' tests would have; no server is needed for any of them."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils.translation import activate, get_language

from django_redisjobs import Retry, current_job, job


class Refused(Exception):
    pass


@job
def add(a: int, b: int = 2) -> int:
    return a + b


@job("high")
def rename(group: Group, *, name: str) -> str:
    old = group.name
    Group.objects.filter(pk=group.pk).update(name=name)
    return old


@job
async def rename_async(pk: int, name: str) -> str:
    group = await Group.objects.aget(pk=pk)
    await Group.objects.filter(pk=pk).aupdate(name=name)
    await asyncio.sleep(0)
    return group.name


@job
async def greet(group: Group) -> str:
    return f"hello {group.name}"


@job(retry=0)
def refuse(reason: str = "no") -> None:
    raise Refused(reason)


@job(retry=0)
async def refuse_async() -> None:
    raise Refused("not now")


@job(retry=Retry(max=2, base="1h"))
def flaky(failures: int) -> int:
    context = current_job()
    assert context is not None
    context.meta["tried"] = context.attempt
    if context.attempt <= failures:
        raise ConnectionError(f"attempt {context.attempt}")
    return context.attempt


@job(retry=0)
def leave(how: str) -> None:
    raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt()}[how]


@job(retry=0)
async def be_interrupted(name: str) -> None:
    """Somebody presses Ctrl-C; what it tidies up needs the database."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        await Group.objects.acreate(name=name)


TRACE = ContextVar("trace", default="")


@job
def leave_traces() -> None:
    TRACE.set("a trace")
    activate("de")


@job
async def leave_traces_async() -> None:
    TRACE.set("a trace")
    activate("de")


WAITS = asyncio.Event()


@job
async def wait_for_ever(*, yielding: bool) -> str:
    WAITS.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if yielding:
            raise
    return "not cancelled"


@job
def language() -> str | None:
    return get_language()


@job
def give(value: Any) -> Any:
    return value


@job
def unserializable() -> object:
    return object()


@job
def enqueue_more(times: int) -> None:
    if times:
        add.delay(times)
        enqueue_more.delay(times - 1)


@job(retry=0)
def enqueue_and_fail(*, within: bool) -> None:
    """What is enqueued in a transaction that fails is gone with it."""
    add.delay(1)
    with transaction.atomic():
        add.delay(2)
        if within:
            raise Refused("within the transaction")
    raise Refused("after the transaction")


@job
def again() -> None:
    again.delay()


@job(retry=0, atomic=True)
def write_and_refuse(name: str) -> None:
    Group.objects.create(name=name)
    raise Refused(name)


@job(retry=Retry(max=1, base="1h"))
def create_twice(name: str, using: str = "default") -> None:
    """The database refuses the second; a job is on its way already."""
    add.delay(20)
    with suppress(Refused), transaction.atomic():
        add.delay(30)
        raise Refused
    for _ in range(2):
        Group.objects.using(using).create(name=name)


@job(retry=Retry(max=1, base="1h"))
async def create_twice_async(name: str) -> None:
    for _ in range(2):
        await Group.objects.acreate(name=name)


@job(retry=0)
def create(name: str, *, well: bool = True) -> None:
    with transaction.atomic(durable=True):
        Group.objects.create(name=name)
    if not well:
        raise Refused(name)


@job(on_missing="discard")
def discards(group: Group) -> None:
    raise AssertionError("it should not have run")


@job
def note_success(job_id: str) -> None:
    Group.objects.create(name=f"done {job_id}")


@job("low", priority=5, expires="1h")
def note_failure(job_id: str) -> None:
    Group.objects.create(name=f"failed {job_id}")


@job(retry=0, on_success=note_success, on_failure=note_failure)
def with_callbacks(*, well: bool) -> None:
    if not well:
        raise Refused("not well")


@job
async def call_back_in() -> str:
    """A coroutine that has others run in between."""
    handle = await add.adelay(20, 22)
    return await sync_to_async(lambda: handle.id)()


@job
def whoami() -> list[Any]:
    context = current_job()
    assert context is not None
    return [context.id, context.function, context.queue, context.attempt, context.run]
