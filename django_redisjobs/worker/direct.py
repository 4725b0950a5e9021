"""Running jobs in the calling thread: for EAGER, and for tests.

It is the worker's own execution, without what guards a worker: nobody interrupts
a job that runs too long, and the database connections are the caller's.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, sync_to_async
from django.utils import translation

from django_redisjobs import conf
from django_redisjobs.context import enter, leave
from django_redisjobs.core.consumer import Claimed, Settlement
from django_redisjobs.core.payload import Body
from django_redisjobs.serialization import codec

from .execution import Execution
from .logs import JobLog
from .memory import SharedMemory
from .plans import Plan, Plans
from .slots import Slot, TaskSlot
from .stations import Station

if TYPE_CHECKING:
    from .outcome import Description, Verdict


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
    __slots__ = ("error",)

    def __init__(self, execution: DirectExecution) -> None:
        super().__init__(execution.board, 0)
        self.error: BaseException | None = None


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

        Only a KeyboardInterrupt goes through: somebody wants all this to end.
        """
        slot = _Slot(self)
        slot.take(1, job, station, monotonic())
        if (prepared := self.prepare(slot, job)) is not None:
            plan, body = prepared
            if plan.is_async:
                self._attempt_coroutine(slot, job, plan, body)
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
        final = final or not self._retries
        super().fail(slot, plan, body, error, final=final)

    def _attempt_coroutine(
        self, slot: _Slot, job: Claimed, plan: Plan, body: Body
    ) -> None:
        try:
            # In this very thread: what it has the database do is seen here, too.
            value, error = async_to_sync(self._outcome)(slot, job, plan, body)
        except RuntimeError as refusal:
            # There is an event loop in this thread: adelay() would have been right.
            value, error = None, refusal
        if error is None:
            self.succeed(slot, plan, value)
        else:
            slot.quiet()
            self.fail(slot, plan, body, error)

    async def _outcome(
        self, slot: _Slot, job: Claimed, plan: Plan, body: Body
    ) -> tuple[Any, BaseException | None]:
        try:
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


def _nothing() -> None: ...
