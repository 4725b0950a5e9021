"""What the workers of these tests run. Jobs tell what they do through a list in Redis."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.dispatch import receiver
from django.utils.functional import SimpleLazyObject
from django.utils.translation import activate, get_language

from django_redisjobs import Retry, current_job, get_connection, get_job, job
from django_redisjobs.conf import get_settings
from django_redisjobs.exceptions import (
    JobInterrupted,
    JobTimeout,
    MissingInstance,
    PayloadMalformed,
    PayloadUnknown,
    UnknownJobFunction,
)
from django_redisjobs.signals import job_failed
from django_redisjobs.worker.pace import LARGEST_BATCH, Pace

SOON = Retry(max=3, base=0.02, jitter=False)


def tell(*words: object) -> None:
    """One event; a test waits for it."""
    text = " ".join(map(str, words))
    get_connection().rpush(f"{get_settings().prefix}:events", text)


def wait_at_gate() -> None:
    """Until the test lets one more pass."""
    while not _may_pass():
        time.sleep(0.01)  # noqa: TID251 - a job that takes its time


def _may_pass() -> bool:
    return bool(get_connection().lpop(f"{get_settings().prefix}:gate"))


def hold_the_interpreter(seconds: float) -> None:
    """Sleep without letting any other thread of this process run."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@job
def add(a: int, b: int) -> int:
    return a + b


@job(retry=0)
def fail(message: str) -> None:
    raise ValueError(message)


@job(retry=SOON)
def flaky(failures: int) -> int:
    context = current_job()
    assert context is not None
    if context.attempt <= failures:
        raise ConnectionError(f"attempt {context.attempt}")
    return context.attempt


@job(retry=Retry(max=3, base=100))
def call_what_is_down() -> None:
    raise ConnectionError("down")


@job(retry=0)
def nap(seconds: float, name: str = "") -> str:
    """Needs no Redis while it runs."""
    time.sleep(seconds)  # noqa: TID251 - a job that takes its time
    return name


@job
async def nap_async(seconds: float) -> None:
    await asyncio.sleep(seconds)


@job(retry=0)
def sleep(seconds: float, name: str = "") -> str:
    tell("started", name, os.getpid())
    time.sleep(seconds)  # noqa: TID251 - a job that takes its time
    return name


@job(retry=0)
async def sleep_async(seconds: float, name: str = "") -> str:
    tell("started", name, os.getpid())
    await asyncio.sleep(seconds)
    return name


@job(retry=0)
async def sleep_in_group(seconds: float, name: str = "") -> None:
    """In a child of its own."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_sleep_and_tell(seconds))
        await asyncio.sleep(seconds)


async def _sleep_and_tell(seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        tell("child ended")


@job(retry=0)
async def stop_the_loop() -> None:
    asyncio.get_running_loop().stop()


@job(retry=0)
async def leave_a_task() -> None:
    """One that waits for ever, and needs Redis when it is cancelled."""
    begun = asyncio.Event()
    context = current_job()
    assert context is not None
    left = asyncio.create_task(_wait_and_ask(context.id, begun))
    _left.add(left)
    left.add_done_callback(_left.discard)
    await begun.wait()


async def _wait_and_ask(job_id: str, begun: asyncio.Event) -> None:
    try:
        begun.set()
        await asyncio.Event().wait()
    finally:
        tell("left, and then", await get_job(job_id).astatus())


_left: set[asyncio.Task[None]] = set()


@job(retry=0)
async def leave_a_trace(seconds: float) -> str:
    """What another job has left in its context."""
    found = _trace.get()
    _trace.set("a trace")
    if seconds:
        await asyncio.sleep(seconds)
    return found


@job(retry=0)
def leave_a_trace_plainly() -> tuple[str, str]:
    found = _trace.get(), get_language() or ""
    _trace.set("a trace")
    activate("de")
    return found


_trace = ContextVar("trace", default="")


@job(retry=0)
async def when_begun_async(seconds: float) -> float:
    begun = time.monotonic()
    await asyncio.sleep(seconds)
    return begun


@job(retry=0)
def when_begun() -> float:
    return time.monotonic()


@job(retry=0)
def pass_gate(name: str = "", then: float = 0.0) -> str:
    tell("arrived", name, os.getpid())
    wait_at_gate()
    time.sleep(then)  # noqa: TID251 - a job that takes its time
    return name


@job(retry=0)
async def pass_gate_async(name: str = "") -> str:
    tell("arrived", name, os.getpid())
    while not _may_pass():  # noqa: ASYNC110 - the gate is in Redis
        await asyncio.sleep(0.01)
    return name


@job(retry=0)
async def gather(number: int) -> int:
    """Ends when so many have begun beside each other."""
    _gathered.append(number)
    if len(_gathered) == number:
        _complete.set()
    await _complete.wait()
    return number


_gathered: list[int] = []
_complete = asyncio.Event()


@job
async def count_beside(seconds: float, name: str = "") -> int:
    """How many ran when it ended, itself included."""
    tell("started", name, os.getpid())
    _beside.append(seconds)
    await asyncio.sleep(seconds)
    seen = len(_beside)
    _beside.pop()
    return seen


_beside: list[float] = []


@job(retry=0)
def hold(seconds: float, name: str = "") -> str:
    tell("started", name, os.getpid())
    hold_the_interpreter(seconds)
    return name


@job(retry=0)
async def block_loop(seconds: float, name: str = "") -> str:
    tell("started", name, os.getpid())
    time.sleep(seconds)  # noqa: ASYNC251, TID251 - what the job is for
    return name


@job(retry=0)
def note_the_unreadable(seconds: float) -> None:
    """Its notes have code of their own, which fails wherever it is run."""
    context = current_job()
    assert context is not None
    context.meta["who"] = SimpleLazyObject(_find_nobody)
    time.sleep(seconds)  # noqa: TID251 - a job that takes its time


def _find_nobody() -> Any:
    raise LookupError("nobody")


@job(retry=0)
def return_the_unknown(with_notes: bool) -> Any:
    """A value of which only its own code knows that it is none."""
    context = current_job()
    assert context is not None
    if with_notes:
        context.meta["noted"] = True
    return SimpleLazyObject(_find_no_function)


def _find_no_function() -> Any:
    raise UnknownJobFunction("another one")


@job(retry=0)
def ignore_interrupts(seconds: float, name: str = "") -> str:
    tell("started", name, os.getpid())
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            time.sleep(0.01)  # noqa: TID251 - a job that takes its time
        except (JobTimeout, JobInterrupted) as interrupt:
            tell("ignored", type(interrupt).__name__)
    return name


@job(retry=0)
def tidy_up(seconds: float) -> str:
    try:
        tell("started")
        time.sleep(seconds)  # noqa: TID251 - a job that takes its time
    except JobTimeout:
        return "tidied up"
    return "finished"


@job(retry=0)
async def tidy_up_async(seconds: float) -> str:
    try:
        tell("started")
        await asyncio.sleep(seconds)
    except JobTimeout:
        await asyncio.sleep(0.01)
        return "tidied up"
    return "finished"


@job(retry=0)
def spin(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


@job(retry=0)
def interrupted_cleanly(seconds: float) -> None:
    tell("started")
    try:
        time.sleep(seconds)  # noqa: TID251 - a job that takes its time
    except JobInterrupted as interrupt:
        tell("interrupted", interrupt.reason)
        raise


@job
def leave(status: int) -> None:
    os._exit(status)


@job
def die(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)


@job(retry=0)
def perish(how: str) -> None:
    """Dies in ways that no handler sees, and says so before."""
    logging.getLogger("shop").warning("about to end: %s", how)
    if how == "group":
        os.killpg(0, signal.SIGKILL)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "memory":
        held = b"x" * 150_000_000
        os.kill(os.getpid(), signal.SIGKILL if held else 0)
    if how == "overrun":
        hold_the_interpreter(60)


class Bomb:
    """Ends its process when nobody holds it any more."""

    def __del__(self) -> None:
        os.abort()


@job(retry=0, result_ttl=0)
def leave_a_bomb(how: str) -> Bomb:
    bomb = Bomb()
    if how == "raised":
        raise ValueError("with a bomb in a frame")
    return bomb


@job(retry=0, result_ttl=0)
async def leave_a_bomb_async(how: str) -> Bomb:
    return leave_a_bomb(how)


@job(retry=0)
def leave_something_running() -> None:
    left = subprocess.Popen(["sleep", "600"])
    tell("left", left.pid)
    os.kill(os.getpid(), signal.SIGKILL)


@job
def leave_an_orphan() -> int:
    """A process whose parent is gone; gives its pid."""
    shell = subprocess.run(
        ["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"],
        check=True,
        capture_output=True,
    )
    return int(shell.stdout)


@job(retry=0)
def raise_one_of_these(name: str) -> None:
    raise {
        "SystemExit": SystemExit(0),
        "KeyboardInterrupt": KeyboardInterrupt(),
        "GeneratorExit": GeneratorExit(),
        "Unprintable": Unprintable(),
        "MemoryError": MemoryError(),
        "JobInterrupted": JobInterrupted("shutdown"),
    }[name]


@job(retry=0)
async def fail_async(message: str) -> None:
    raise ValueError(message)


@job(retry=0)
async def raise_one_of_these_async(name: str) -> None:
    raise_one_of_these(name)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


@job(retry=0)
def recurse() -> None:
    recurse()


@job
def give(what: str) -> Any:
    return {
        "object": object(),
        "large": "x" * 2_000_000,
        "nothing": None,
        "lone surrogate": "\ud800",
    }[what]


@job
def report(steps: int, *, gated: bool = False) -> None:
    context = current_job()
    assert context is not None
    for step in range(steps):
        context.progress(step + 1, steps, "working")
        context.meta["step"] = step + 1
        if gated:
            wait_at_gate()


@job(retry=SOON)
def remember(failures: int) -> list[int]:
    context = current_job()
    assert context is not None
    seen = context.meta.setdefault("seen", [])
    seen.append(context.attempt)
    if context.attempt <= failures:
        raise ConnectionError("not yet")
    return seen


@job
def note_runs() -> list[int]:
    """The first run waits at the gate when it has noted itself."""
    context = current_job()
    assert context is not None
    context.meta["runs"] = [*context.meta.get("runs", []), context.run]
    if context.run == 1:
        tell("noted", context.run, os.getpid())
        wait_at_gate()
    return context.meta["runs"]


@job
def take_all_for_fast() -> int:
    """From now on this process claims many jobs at once, however slow this machine is."""
    Pace.batch = LARGEST_BATCH  # type: ignore[assignment, method-assign]
    return os.getpid()


@job
def language() -> str | None:
    return get_language()


@job
async def language_async() -> str | None:
    return get_language()


@job
def whoami() -> list[Any]:
    return [os.getpid(), threading.current_thread().name]


@job
def begin_of_life() -> str:
    """Whether this process ran this job before."""
    _lives.append(1)
    return "fresh" if len(_lives) == 1 else "old"


_lives: list[int] = []
_kept: list[bytes] = []


@job
def eat_memory(megabytes: int) -> int:
    gc.collect()
    _kept.append(b"x" * (megabytes * 1_000_000))
    return os.getpid()


@job(retry=0, atomic=True)
def write_and_fail(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO names VALUES (%s)", [name])
    raise ValueError("after the write")


@job(atomic=True)
def write(name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO names VALUES (%s)", [name])
    return connection.in_atomic_block


@job
def begin_and_leave() -> None:
    """As an interrupt does that hits a transaction while it ends."""
    transaction.atomic().__enter__()


@job
def connection_is_open() -> bool:
    return connection.connection is not None


@job
def after_success(job_id: str) -> None:
    tell("success", job_id)


@job(priority=7, expires="1h")
def after_failure(job_id: str) -> None:
    tell("failure", job_id)


@job(retry=0, on_success=after_success, on_failure=after_failure)
def with_callbacks(*, well: bool) -> None:
    if not well:
        raise ValueError("not well")


@job(retry=0, timeout=0.3, on_failure=after_failure)
def die_with_a_callback(how: str) -> None:
    if how == "at once":
        os.kill(os.getpid(), signal.SIGKILL)
    hold_the_interpreter(60)


@job(retry=SOON)
def stubborn(seconds: float) -> None:
    context = current_job()
    assert context is not None
    tell("started", context.attempt)
    hold_the_interpreter(seconds)


@job
async def write_async(name: str) -> int:
    def insert() -> int:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO names VALUES (%s)", [name])
            return cursor.rowcount

    return await sync_to_async(insert)()


@job
async def keep_database_thread() -> bool:
    """Work in the one thread in which coroutines use the database."""

    def keep() -> bool:
        tell("keeps")
        return _database_thread.wait(60)

    return await sync_to_async(keep)()


@job
def free_database_thread() -> None:
    _database_thread.set()


_database_thread = threading.Event()


@job
async def connection_is_open_async() -> bool:
    return await sync_to_async(lambda: connection.connection is not None)()


@job
def take(row: Any) -> str:
    return str(row)


@job
async def take_async(row: Any) -> str:
    return str(row)


@job(on_missing="discard")
def take_or_leave(row: Any) -> str:
    return str(row)


OF_OTHERS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (MissingInstance, PayloadMalformed, PayloadUnknown, UnknownJobFunction)
}


@job(on_missing="discard", retry=Retry(max=1, base=0.02, jitter=False))
def raise_of_another(name: str) -> None:
    raise OF_OTHERS[name]("about another job")


@job(on_missing="discard", retry=Retry(max=1, base=0.02, jitter=False))
async def raise_of_another_async(name: str) -> None:
    raise OF_OTHERS[name]("about another job")


def quietly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that knows nothing of coroutines."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapped


@job(result_ttl=0)
@quietly
async def never_awaited() -> None:
    raise AssertionError


@job
def lone(moment: float) -> list[float]:
    return [time.time() - moment]


@job(settle_each=True, retry=0)
def one_by_one(number: int, seconds: float) -> int:
    if seconds:
        hold_the_interpreter(seconds)
    return number


@job(settle_each=True, retry=0)
async def ended_before(job_id: str) -> bool:
    """Whether that one's end is written."""
    return not job_id or (await get_job(job_id).ainfo()).finished_at is not None


@receiver(job_failed)
def break_the_teller(exception: BaseException, **_: Any) -> None:
    if "break the teller" in str(exception):
        raise SystemExit(4)
