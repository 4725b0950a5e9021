"""An interrupt ends a coroutine as a cancellation does, and is told as what it is."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from asgiref.sync import sync_to_async

from django_redisjobs.exceptions import JobInterrupted, JobTimeout
from django_redisjobs.worker.coroutines import _armed
from django_redisjobs.worker.memory import SharedMemory
from django_redisjobs.worker.outcome import CANCEL, SHUTDOWN, TIMEOUT, describe
from django_redisjobs.worker.slots import TaskSlot

pytestmark = pytest.mark.parametrize(
    ("reason", "kind"),
    [(TIMEOUT, JobTimeout), (CANCEL, JobInterrupted), (SHUTDOWN, JobInterrupted)],
)


class Attempt:
    """A job's coroutine, run in the running loop until it waits for something."""

    def __init__(self, call):
        self.slot = TaskSlot(SharedMemory(1, 1).board(0), 0)
        self.slot.loop = asyncio.get_running_loop()
        self.slot.take(1, SimpleNamespace(id="x"), SimpleNamespace(generation=1), 0.0)
        self.task = asyncio.create_task(self.run(call))

    async def run(self, call):
        self.slot.task = asyncio.current_task()
        try:
            self.outcome = await _armed(self.slot, call)
        except BaseException as error:  # noqa: BLE001 - it is what is asked for
            self.outcome = error

    async def end(self):
        """Gives what it returned or raised."""
        await asyncio.wait([self.task], timeout=30)
        return self.outcome

    async def interrupt(self, reason):
        await turns()
        self.slot.strike(1, reason)
        return await self.end()


async def turns():
    """Let all others go as far as they get by themselves."""
    for _ in range(20):
        await asyncio.sleep(0)


def interrupted(reason, function):
    async def main():
        return await Attempt(function()).interrupt(reason)

    return asyncio.run(main())


async def wait_for_ever():
    await asyncio.Event().wait()


async def wait_in_a_group():
    async with asyncio.TaskGroup():
        await wait_for_ever()


async def wait_for_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(wait_for_ever())


async def wait_with_a_timeout():
    async with asyncio.timeout(60):
        await asyncio.wait_for(wait_for_ever(), 60)


async def wait_for_others():
    await asyncio.gather(wait_for_ever(), asyncio.shield(wait_for_ever()))


async def raise_anew():
    try:
        await wait_for_ever()
    except asyncio.CancelledError:
        raise asyncio.CancelledError from None


@pytest.mark.parametrize(
    "function",
    [
        wait_for_ever,
        wait_in_a_group,
        wait_for_a_group,
        wait_with_a_timeout,
        wait_for_others,
        raise_anew,
    ],
)
def test_a_job_ends_with_its_interrupt(reason, kind, function):
    error = interrupted(reason, function)

    assert isinstance(error, kind)
    assert kind is JobTimeout or error.reason == reason
    told = describe(error)
    assert told.exception_class == f"django_redisjobs.exceptions.{kind.__name__}"
    assert f"in {function.__name__}" in told.traceback


def test_so_does_each_child_of_its_group(reason, kind):
    ended = []

    async def child():
        try:
            await wait_for_ever()
        finally:
            await asyncio.sleep(0)
            ended.append("child")

    async def function():
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
            await wait_for_ever()
            ended.append("never")

    async def exit_of_the_group():
        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    for each in (function, exit_of_the_group):
        assert isinstance(interrupted(reason, each), kind)
        assert ended == ["child"]
        ended.clear()


def test_what_a_child_raises_meanwhile_is_told(reason, kind):
    async def child():
        try:
            await wait_for_ever()
        finally:
            raise ValueError("while it tidied up")

    async def function():
        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    error = interrupted(reason, function)

    assert isinstance(error, BaseExceptionGroup)
    assert "while it tidied up" in describe(error).traceback


def test_what_waits_for_djangos_thread_is_not_run(reason, kind):
    async def main():
        ran = []
        free = asyncio.Event()
        loop = asyncio.get_running_loop()

        def keep():
            asyncio.run_coroutine_threadsafe(free.wait(), loop).result(60)

        keeping = asyncio.create_task(sync_to_async(keep)())
        await turns()
        error = await Attempt(sync_to_async(ran.append)("ran")).interrupt(reason)
        free.set()
        await keeping
        # All that had its turn before this one was run.
        await sync_to_async(int)()
        return error, ran

    error, ran = asyncio.run(main())
    assert isinstance(error, kind)
    assert ran == []


async def keep_to_itself():
    with contextlib.suppress(asyncio.CancelledError):
        await wait_for_ever()


async def turn_into_another_error():
    try:
        await wait_for_ever()
    except asyncio.CancelledError:
        raise ValueError from None


@pytest.mark.parametrize("child", [keep_to_itself, turn_into_another_error])
def test_what_a_child_keeps_to_itself_is_heard_at_the_next_await(reason, kind, child):
    seen = []

    async def function():
        with contextlib.suppress(ValueError):
            await asyncio.create_task(child())
        seen.append("ended")
        try:
            await wait_for_ever()
        except asyncio.CancelledError:
            # Once is enough, and its own timeouts are as ever.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await wait_for_ever()
            seen.append("tidied up")
            raise

    assert isinstance(interrupted(reason, function), kind)
    assert seen == ["ended", "tidied up"]


@pytest.mark.parametrize("make", [asyncio.Lock, lambda: asyncio.Semaphore(1)])
def test_a_lock_that_it_was_just_given_goes_to_the_next(reason, kind, make):
    async def main():
        lock = make()
        await lock.acquire()
        attempt = Attempt(lock.acquire())
        await turns()
        following = asyncio.create_task(lock.acquire())
        await turns()
        # In this order: it hears of the interrupt before it has seen the lock.
        attempt.slot.strike(1, reason)
        lock.release()
        return await attempt.end(), await asyncio.wait_for(following, 5)

    error, acquired = asyncio.run(main())
    assert isinstance(error, kind)
    assert acquired


def test_a_job_that_catches_it_may_go_on_awaiting(reason, kind):
    async def function():
        try:
            await wait_for_ever()
        except kind:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
            try:
                async with asyncio.timeout(0):
                    await wait_for_ever()
            except TimeoutError:
                return "tidied up"
        return "not interrupted"

    assert interrupted(reason, function) == "tidied up"


def test_a_job_does_not_take_it_for_a_timeout_of_its_own(reason, kind):
    async def main():
        timeout = asyncio.timeout(None)

        async def function():
            async with timeout:
                await wait_for_ever()

        attempt = Attempt(function())
        await turns()
        # Both cancel the task before it has its next turn.
        attempt.slot.strike(1, reason)
        timeout.reschedule(0)
        return await attempt.end()

    assert isinstance(asyncio.run(main()), kind)


def test_nor_the_interrupt_for_a_timeout_of_its_own(reason, kind):
    async def main():
        timeout, seen = asyncio.timeout(None), []

        async def function():
            try:
                async with timeout:
                    await wait_for_ever()
            except TimeoutError:
                seen.append("its own")
            await wait_for_ever()

        attempt = Attempt(function())
        await turns()
        timeout.reschedule(0)
        # The timeout cancels the task now, and this one when it is its turn.
        await asyncio.sleep(0)
        attempt.slot.strike(1, reason)
        return await attempt.end(), seen

    error, seen = asyncio.run(main())
    assert isinstance(error, kind)
    assert seen == ["its own"]
