"""Jobs that are coroutine functions: one event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import Context, copy_context
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from django.utils import translation

from django_redisjobs.context import enter, leave
from django_redisjobs.core.payload import Body

from . import databases
from .logs import worker_logger
from .memory import KEPT
from .pace import Pace
from .slots import TaskSlot

if TYPE_CHECKING:
    from .execution import Execution
    from .memory import Board
    from .plans import Plan, Prepared

# What jobs have left behind may tidy up for so long when the worker ends.
FAREWELL_SECONDS: Final = 1.0

# Not after all others that are due have had their turn.
_AT_ONCE: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class Coroutines:
    """At most ``places`` jobs at once. Its thread starts with the first of them.

    ``refill``: called in the loop's thread when a job has left its place, gives the
    one that has taken it, if any. ``completed`` is called after that.
    """

    def __init__(
        self,
        board: Board,
        first_slot: int,
        places: int,
        execution: Execution,
        refill: Callable[[TaskSlot], Prepared | None],
        completed: Callable[[], None],
    ) -> None:
        self.slots = [TaskSlot(board, first_slot + place) for place in range(places)]
        self._free = deque(self.slots)
        self._cells = board.cells
        # When a job that runs was last to blame that others get at no database.
        self._blamed_at = 0.0
        self._execution = execution
        self._refill = refill
        self._completed = completed
        self._handed: deque[tuple[TaskSlot, Prepared]] = deque()
        self._context = Context()
        # Whether a job's first step is under way, and how many wait for theirs.
        self._stepping = False
        self._unstarted = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._settler: ThreadPoolExecutor | None = None
        self.pace = Pace()
        self._starting = threading.Lock()
        self._stopped = False
        self.failure: BaseException | None = None

    @property
    def started(self) -> bool:
        """Whether there ever was a job for it."""
        return self._loop is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop; None before there is a job for it."""
        return self._loop

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def busy(self) -> bool:
        return len(self._free) < len(self.slots)

    @property
    def full(self) -> bool:
        return not self._free

    def note_kept(self) -> None:
        """Show since when no coroutine gets at its databases, if no job that runs is to
        blame. From any thread.
        """
        since = databases.kept_since()
        # What keeps that thread was begun by a job that is older.
        if any(slot.code and slot.started < since for slot in self.slots):
            self._blamed_at = monotonic()
            self._cells[KEPT] = 0.0
        else:
            self._cells[KEPT] = 0.0 if since == inf else max(since, self._blamed_at)

    def keep_context(self) -> None:
        """Have each job begin in a copy of the caller's context, as it is now."""
        self._context = copy_context()

    def place(self) -> TaskSlot | None:
        """A free slot, which is the caller's to fill; None when all are busy."""
        try:
            return self._free.popleft()
        except IndexError:
            return None

    def hand_over(self, slot: TaskSlot, prepared: Prepared) -> None:
        """The job in ``slot`` is the loop's, with the next ``flush``."""
        self._handed.append((slot, prepared))

    @property
    def has_handed(self) -> bool:
        """Whether jobs wait for the loop to begin them."""
        return bool(self._handed)

    def flush(self) -> None:
        """Wake the loop, once for all that was handed over. From any thread."""
        if self._handed:
            self._running_loop().call_soon_threadsafe(self._begin_all)

    def stop(self) -> None:
        """End the loop, when no job runs any more, and what jobs have left there."""
        self._stopped = True
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(2 * FAREWELL_SECONDS)
        if self._settler is not None:
            self._settler.shutdown(wait=False)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                for slot in self.slots:
                    slot.loop = self._loop
                self._thread = threading.Thread(
                    target=self._serve,
                    args=(self._loop,),
                    name="redisjobs-loop",
                    daemon=True,
                )
                self._thread.start()
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        databases.begin_executor()
        # A job may stop the loop, and a task that one left behind may raise SystemExit or
        # the like, which ends it. It is not the end of the other jobs.
        while not self._stopped:
            with _logged():
                loop.run_forever()
        with _logged():
            loop.run_until_complete(_farewell())
        with _logged():
            loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        databases.end_executor()

    def _begin_all(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._begin(*self._handed.popleft())

    def _begin(self, slot: TaskSlot, prepared: Prepared) -> None:
        """Have a task of its own run the job, in a context that no job has touched."""
        run, context = self._run(slot, *prepared), self._context.copy()
        # Of jobs that never wait each would begin within the one before it; and none
        # begins before those that came earlier.
        nested = self._stepping
        at_once = {} if nested or self._unstarted else _AT_ONCE
        self._unstarted += 1
        self._stepping = True
        try:
            asyncio.Task(run, loop=self._loop, context=context, **at_once)
        finally:
            self._stepping = nested

    async def _run(self, slot: TaskSlot, plan: Plan, body: Body) -> None:
        self._unstarted -= 1
        # Also what keeps the task alive: a loop knows its tasks weakly.
        slot.task = asyncio.current_task()
        try:
            await self._attempt(slot, plan, body)
            if plan.settle_each:
                await self._settle()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is heard
            self.failure = error
        finally:
            slot.task = None
            self.pace.learn(monotonic() - slot.started, 1)
            self._leave(slot)
        databases.refresh_in_line()

    async def _settle(self) -> None:
        if self._settler is None:
            # Not the loop's own, which jobs may fill.
            self._settler = ThreadPoolExecutor(1, "redisjobs-settler")
        settling = asyncio.wrap_future(self._settler.submit(self._execution.settle_now))
        while not settling.done():
            # A job may have left its task cancelled; to wait so cancels nothing.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([settling])
        settling.result()

    def _leave(self, slot: TaskSlot) -> None:
        following: Prepared | None = None
        if self.failure is None:
            # They came before any that is still in the inbox.
            self._begin_all()
            try:
                following = self._refill(slot)
            except BaseException as error:  # noqa: BLE001 - it is raised where it is heard
                self.failure = error
        # The place is not free until nobody follows: who asks whether anybody is busy
        # must not ask while a job is in neither place. Nor where the process has to end:
        # whoever brings back what it held finds the job there.
        if following is None and self.failure is None:
            self._free.append(slot)
        self._completed()
        if following is not None:
            self._begin(slot, following)

    async def _attempt(self, slot: TaskSlot, plan: Plan, body: Body) -> None:
        returned: list[Any] = []
        try:
            returned.append(await self._call(slot, plan, body))
        except BaseException as error:  # noqa: BLE001 - a job may raise anything
            slot.quiet()
            self._execution.fail(slot, plan, body, error)
        else:
            self._execution.succeed(slot, plan, returned)

    async def _call(self, slot: TaskSlot, plan: Plan, body: Body) -> Any:
        databases.refresh_in_line()
        job = slot.job
        assert job is not None
        context = self._execution.context(job, plan)
        # Each task has a context of its own: what is set here is seen by this job only.
        token = enter(context)
        try:
            if body.tagged:
                # A model instance is fetched, which Django allows in a thread only.
                fetching = databases.fetch(partial(slot.prepare, slot.code, body))
                body = await asyncio.wrap_future(fetching)
            self._execution.begin(slot, plan, context, monotonic())
            with ExitStack() as stack:
                if plan.language:
                    stack.enter_context(translation.override(plan.language))
                return await _armed(slot, plan.function(*body.args, **body.kwargs))
        finally:
            leave(token)


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except BaseException:  # noqa: BLE001 - a job's task may raise anything
        worker_logger.exception("A task of a job tried to end the event loop.")


async def _farewell() -> None:
    """Cancel what jobs have left behind. What goes on all the same is left alone."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=FAREWELL_SECONDS)


async def _armed(slot: TaskSlot, call: Coroutine[Any, Any, Any]) -> Any:
    slot.call = call
    try:
        try:
            slot.arm()
        except BaseException:
            call.close()
            raise
        return await _Interruptible(call, slot)
    except BaseException as error:
        interrupt = slot.interrupt_behind(error)
        if interrupt is None or interrupt is error:
            raise
        raise interrupt from None
    finally:
        slot.call = None
        slot.quiet()


class _Interruptible(Awaitable[Any]):
    """Awaits a job's coroutine; when the worker cancels the task, the job sees the
    interrupt (JobTimeout, say) raised where it awaits, as a kind of CancelledError.

    As ever the task counts as being cancelled from then on: so a timeout of the job's
    own, or a group of tasks, that cancels it at the same moment lets the interrupt pass.
    """

    __slots__ = ("_call", "_slot")

    def __init__(self, call: Coroutine[Any, Any, Any], slot: TaskSlot) -> None:
        self._call = call
        self._slot = slot

    def __await__(self) -> Generator[Any, Any, Any]:
        call = self._call
        try:
            waited_for = call.send(None)
            while True:
                try:
                    received = yield waited_for
                except GeneratorExit:
                    call.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - what is thrown is passed on
                    waited_for = call.throw(self._translated(error))
                else:
                    waited_for = call.send(received)
                self._slot.insist()
        except StopIteration as stop:
            return stop.value

    def _translated(self, error: BaseException) -> BaseException:
        if not isinstance(error, asyncio.CancelledError):
            return error
        return self._slot.interruption() or error
