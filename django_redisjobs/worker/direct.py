"""Running jobs in the calling thread: for EAGER, and for tests.

It is the worker's own execution, without what guards a worker: nobody interrupts
a job that runs too long, and the database connections are the caller's.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from asgiref.sync import AsyncToSync, async_to_sync, sync_to_async
from django.db import DatabaseError, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import translation

from django_redisjobs import conf
from django_redisjobs.context import enter, leave
from django_redisjobs.core.payload import Body
from django_redisjobs.core.settlements import Claimed, Settlement
from django_redisjobs.serialization import codec

from .execution import Execution
from .logs import JobLog
from .memory import SharedMemory
from .outcome import Verdict
from .plans import Plan, Plans
from .slots import Slot, TaskSlot
from .stations import Station

if TYPE_CHECKING:
    from .outcome import Description


class SilentLog(JobLog):
    """For who is told of every outcome anyway."""

    def __init__(self) -> None:
        super().__init__("")
        self.tells_success = False

    def ended(
        self,
        job: Claimed,
        function: str,
        verdict: Verdict,
        what: Description,
        most: int,
    ) -> None:
        """Say nothing."""


class Desk(Station):
    """Where outcomes are left that no Redis waits for."""

    def __init__(self) -> None:
        self.alive = True
        self.generation = 1
        self.outcomes: deque[Settlement] = deque()
        self.clock_ms = (time.time() - monotonic()) * 1000


class _Slot(TaskSlot):
    # Nobody strikes it, so it is as good for plain functions as for coroutines.
    __slots__ = ("_executor", "_over", "_stopped", "error")

    def __init__(self, execution: DirectExecution) -> None:
        super().__init__(execution.board, 0)
        self.error: BaseException | None = None
        # Runs what a coroutine leaves to the thread that waits for it.
        self._executor: Any = None
        self._over: Future[None] = Future()
        self._stopped = False

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """The coroutine runs within, in the task of now."""
        self._executor = AsyncToSync.executors.current
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            if self._stopped:
                raise asyncio.CancelledError
            yield
        finally:
            self._over.set_result(None)

    def stop(self) -> None:
        """Cancel the coroutine, and wait until it has tidied up."""
        self._stopped = True
        loop, task = self.loop, self.task
        if loop is None or task is None:
            # It has not begun, and will not.
            return
        with suppress(RuntimeError):
            # It has ended, and its loop is closed.
            loop.call_soon_threadsafe(task.cancel)
        self._executor.run_until_future(self._over)


class DirectExecution(Execution):
    """``retries``: whether a failed attempt may be followed by another one."""

    def __init__(self, log: JobLog, *, retries: bool) -> None:
        self.board = SharedMemory(1, 1).board(0)
        self._retries = retries
        super().__init__(
            Plans(),
            log,
            self.board,
            overrun=inf,
            max_payload=conf.get_settings().max_payload,
            settle_now=_nothing,
        )

    def attempt(self, job: Claimed, station: Station) -> BaseException | None:
        """Run a job here and now; its outcome is the station's. Gives what it raised.

        Only a KeyboardInterrupt goes through: somebody wants all this to end. What it
        sets in its context (a language, say) is not the caller's.
        """
        slot = _Slot(self)
        slot.take(1, job, station, monotonic())
        if (prepared := self.prepare(slot, job)) is not None:
            plan, body = prepared
            if plan.is_async:
                copy_context().run(self._attempt_coroutine, slot, job, plan, body)
            else:
                self.run(slot, plan, body)
        if isinstance(slot.error, KeyboardInterrupt):
            raise slot.error
        return slot.error

    def refresh(self) -> None:
        """The caller's connections stay as they are."""

    def fail(
        self,
        slot: Slot,
        plan: Plan | None,
        body: Body | None,
        error: BaseException,
        *,
        final: bool = False,
    ) -> None:
        if isinstance(slot, _Slot):
            slot.error = error
        super().fail(slot, plan, body, error, final=final)

    def let_go(self, error: BaseException) -> None:
        """The caller may want to look at its frames."""

    def _judge(
        self, slot: Slot, plan: Plan | None, error: BaseException, *, final: bool
    ) -> Verdict:
        verdict = super()._judge(slot, plan, error, final=final)
        if verdict.kind == "retry" and not self._retries:
            return Verdict("failed", verdict.word)
        return verdict

    def _call(self, slot: Slot, job: Claimed, plan: Plan, body: Body) -> Any:
        with _savepoints():
            return super()._call(slot, job, plan, body)

    def _attempt_coroutine(
        self, slot: _Slot, job: Claimed, plan: Plan, body: Body
    ) -> None:
        try:
            # In this very thread: what it has the database do is seen here, too.
            with _savepoints():
                try:
                    value, error = async_to_sync(self._outcome)(slot, job, plan, body)
                except KeyboardInterrupt as interrupt:
                    # The loop is in another thread, and has not heard of it.
                    slot.stop()
                    value, error = None, interrupt
        except RuntimeError as refusal:
            # There is an event loop in this thread: adelay() would have been right.
            value, error = None, refusal
        if error is None:
            self.succeed(slot, plan, [value])
        else:
            slot.quiet()
            self.fail(slot, plan, body, error)

    async def _outcome(
        self, slot: _Slot, job: Claimed, plan: Plan, body: Body
    ) -> tuple[Any, BaseException | None]:
        try:
            with slot.stoppable():
                return await self._await(slot, job, plan, body), None
        except BaseException as error:  # noqa: BLE001 - a job may raise anything
            return None, error

    async def _await(self, slot: _Slot, job: Claimed, plan: Plan, body: Body) -> Any:
        context = self.context(job, plan)
        token = enter(context)
        try:
            if body.tagged:
                body = await sync_to_async(body.decoded)(codec)
            await sync_to_async(self.begin)(slot, plan, context, monotonic())
            with ExitStack() as stack:
                if plan.language:
                    stack.enter_context(translation.override(plan.language))
                return await plan.function(*body.args, **body.kwargs)
        finally:
            leave(token)


@contextmanager
def _savepoints() -> Iterator[None]:
    """Let a database refuse something to a job, and the caller's transaction go on.

    A worker's job is in no transaction, and what a database refuses there breaks
    nothing else. Here all that the job wrote to that database is rolled back then, so
    that it can be used again; else it stays, whatever the job raised. The hooks of
    ``on_commit`` stay even so, but for those that a transaction of the job's own took
    back: in a worker they would have run at once.
    """
    opened: list[tuple[BaseDatabaseWrapper, str]] = []
    for database in connections.all(initialized_only=True):
        if database.in_atomic_block and not database.needs_rollback:
            # Not atomic(), whose rollback forgets hooks, and within which another
            # atomic() can be neither durable nor the outermost one.
            with _uncounted(database):
                savepoint = database.savepoint()
            if savepoint is not None:
                opened.append((database, savepoint))
    try:
        yield
    finally:
        for database, savepoint in opened:
            with _uncounted(database):
                _close(database, savepoint)


def _close(database: BaseDatabaseWrapper, savepoint: str) -> None:
    try:
        if not database.needs_rollback:
            # Where Django knows nothing of what was refused, PostgreSQL refuses this.
            with suppress(DatabaseError):
                database.savepoint_commit(savepoint)
                return
        database.needs_rollback = False
        database.savepoint_rollback(savepoint)
        database.savepoint_commit(savepoint)
    except Error:
        # The connection is gone, and the caller's transaction with it.
        database.needs_rollback = True


@contextmanager
def _uncounted(database: BaseDatabaseWrapper) -> Iterator[None]:
    """Tests that count queries mean those of the job."""
    counted, database.force_debug_cursor = database.force_debug_cursor, False
    try:
        yield
    finally:
        database.force_debug_cursor = counted


def _nothing() -> None: ...
