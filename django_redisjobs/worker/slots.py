"""A slot is a place in a worker process that runs one job at a time.

What it runs is written to shared memory before anything of the job is decoded and
cleared when its outcome exists as text, so that whoever finds the process dead
knows what ran. A slot also knows how to interrupt its job, and sees to it that
an interrupt that comes late never strikes the worker's own code: it is armed
only while the job's function runs, and an interrupt names the job it is meant for.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from django_redisjobs.exceptions import JobInterrupted, JobTimeout
from django_redisjobs.serialization import codec

from .lastwords import LastWords
from .memory import (
    CODE,
    HARD,
    ID_BYTES,
    SLOT_GENERATION,
    STARTED,
    TAIL,
    WAITING,
    Board,
)
from .outcome import CANCEL, SHUTDOWN, TIMEOUT

if TYPE_CHECKING:
    from django_redisjobs.context import JobContext
    from django_redisjobs.core.payload import Body
    from django_redisjobs.core.records import LogLine
    from django_redisjobs.core.settlements import Claimed

    from .stations import Station

# Decoding a job and fetching what its arguments refer to has to end within this.
PREPARATION_SECONDS: Final = 60.0

INTERRUPT_SIGNAL: Final = getattr(signal, "SIGUSR1", None)


class _CancelInterrupt(JobInterrupted):
    # Raised by class: an exception sent to a thread cannot carry arguments.
    def __init__(self) -> None:
        super().__init__(CANCEL)


class _ShutdownInterrupt(JobInterrupted):
    def __init__(self) -> None:
        super().__init__(SHUTDOWN)


# What a coroutine awaits tidies up (a TaskGroup its children, a lock its waiters) when
# it is cancelled, and for no other exception.
class _TimeoutOfTask(JobTimeout, asyncio.CancelledError): ...


class _CancelOfTask(_CancelInterrupt, asyncio.CancelledError): ...


class _ShutdownOfTask(_ShutdownInterrupt, asyncio.CancelledError): ...


INTERRUPTS: Final[dict[str, type[BaseException]]] = {
    CANCEL: _CancelInterrupt,
    SHUTDOWN: _ShutdownInterrupt,
    TIMEOUT: JobTimeout,
}
_OF_TASKS: Final[dict[str, type[BaseException]]] = {
    CANCEL: _CancelOfTask,
    SHUTDOWN: _ShutdownOfTask,
    TIMEOUT: _TimeoutOfTask,
}


def _show_as_public() -> None:
    for kind in (*INTERRUPTS.values(), *_OF_TASKS.values()):
        public = JobTimeout if issubclass(kind, JobTimeout) else JobInterrupted
        kind.__name__ = kind.__qualname__ = public.__name__
        kind.__module__ = public.__module__


_show_as_public()


class Slot:
    """One place, in this process's memory and in the shared one.

    Only the thread that runs the job takes, arms, disarms and frees it; ``strike``
    may be called from any thread.
    """

    __slots__ = (
        "_board",
        "_cells",
        "_code",
        "_generation",
        "_hard",
        "_ids",
        "_name_at",
        "_noting",
        "_started",
        "_words",
        "armed",
        "code",
        "context",
        "fired",
        "job",
        "lines",
        "meta",
        "number",
        "pending",
        "progress",
        "soft",
        "started",
        "station",
    )

    def __init__(self, board: Board, number: int) -> None:
        offset = board.slot_offset(number)
        self._board = board
        self._cells = board.cells
        self._words: LastWords | None = None
        self._ids = board.ids
        self._code = offset + CODE
        self._generation = offset + SLOT_GENERATION
        self._started = offset + STARTED
        self._hard = offset + HARD
        self._name_at = number * ID_BYTES
        self._noting = threading.Lock()
        self.number = number
        self.code = 0
        self.job: Claimed | None = None
        self.station: Station | None = None
        self.context: JobContext | None = None
        self.lines: tuple[LogLine, ...] = ()
        self.meta: str | None = None
        self.progress: str | None = None
        self.started = 0.0
        self.soft = inf
        self.armed = False
        self.fired = ""
        self.pending: tuple[int, str] | None = None

    def take(self, code: int, job: Claimed, station: Station, now: float) -> None:
        """Say that this job runs here from ``now`` (monotonic) on."""
        cells = self._cells
        name = job.id.encode()[: ID_BYTES - 1] + b"\0"
        self._ids[self._name_at : self._name_at + len(name)] = name
        cells[self._generation] = station.generation
        cells[self._started] = now
        cells[self._hard] = self._first_limit(now)
        cells[self._code] = code
        self.fired = ""
        self.soft = inf
        self.started = now
        self.job = job
        self.station = station
        # Last: whoever reads the code finds the rest to belong to it.
        self.code = code

    def _first_limit(self, now: float) -> float:
        return now + PREPARATION_SECONDS

    def limit(self, soft: float, hard: float) -> None:
        """Until when (monotonic) the job may run, and when its process is killed."""
        self._cells[self._hard] = hard
        self.soft = soft

    def move_to(self, other: Slot) -> None:
        """Hand the job over; at no moment is it in neither place."""
        job, station = self.job, self.station
        assert job is not None
        assert station is not None
        other.take(self.code, job, station, self.started)
        self.free()

    def free(self) -> None:
        """The outcome exists: nothing of the job runs any more."""
        self._cells[self._code] = 0.0
        self.code = 0
        self.soft = inf
        self.job = self.station = self.context = None
        self.lines = ()
        self.meta = self.progress = self.pending = None
        if self._words is not None:
            self._words = None
            self._cells[self._board.slot_offset(self.number) + TAIL] = 0.0

    def overhear(self, context: JobContext, line: LogLine) -> None:
        """The job has logged this; from any thread."""
        job = self.job
        if job is None or self.context is not context:
            return
        words = self._words
        if words is None:
            words = self._words = LastWords(self._board, self.number, job.body)
        words.add(line)

    def begin_thread(self) -> None:
        """The calling thread is the one that runs the jobs of this slot."""

    def note(self, code: int) -> bool:
        """Take over what the job of that code wrote for others to see.

        Gives whether that changed. May be called from any thread.
        """
        context = self.context
        if context is None or not context.watched:
            return False
        with self._noting:
            if self.code != code or self.context is not context:
                return False
            before = self.meta, self.progress
            # What cannot be stored fails the job at its end, not in the middle. The values
            # of meta may have code of their own, which raises anything.
            with suppress(Exception):
                self._take_note(context)
            return (self.meta, self.progress) != before

    def last_note(self) -> None:
        """``note``, after which nobody else notes anything of this job.

        Raises PayloadNotSerializable or PayloadTooLarge when the job's ``meta`` cannot be
        stored, and whatever the values in it raise.
        """
        context = self.context
        if context is None:
            return
        self.lines = context.lines
        if not context.watched:
            return
        with self._noting:
            self.context = None
            self._take_note(context)

    def _take_note(self, context: JobContext) -> None:
        # Kept: the record of the ended job needs them too, changed lately or not. The
        # progress first: it is good, whatever is in meta.
        self.progress = context.take_progress() or self.progress
        self.meta = context.take_meta() or self.meta

    def arm(self) -> None:
        """From here on an interrupt may strike. One that waits strikes at once."""
        raise NotImplementedError

    def disarm(self) -> None:
        raise NotImplementedError

    def strike(self, code: int, reason: str) -> None:
        """Interrupt the job of that code, if it is still the one that runs here."""
        raise NotImplementedError

    @property
    def coroutine(self) -> Coroutine[Any, Any, Any] | None:
        """The call of the job's function, where that is a coroutine function."""
        return None

    def quiet(self) -> None:
        """Disarm, however late an interrupt strikes."""
        while True:
            try:
                self.disarm()
            except (JobTimeout, JobInterrupted):
                continue
            return

    def _due(self) -> str:
        """Take the reason of an interrupt that is meant for the job of now."""
        pending = self.pending
        if pending is None or pending[0] != self.code or not self.armed:
            return ""
        self.pending = None
        self.fired = pending[1]
        return self.fired


class MainSlot(Slot):
    """Jobs of the process's main thread; a signal interrupts whatever it waits in."""

    __slots__ = ("_thread",)

    def __init__(self, board: Board, number: int) -> None:
        super().__init__(board, number)
        self._thread = threading.main_thread().ident

    def begin_thread(self) -> None:
        if INTERRUPT_SIGNAL is not None:
            signal.signal(INTERRUPT_SIGNAL, self._on_signal)

    def arm(self) -> None:
        self.armed = True
        if self.pending is not None:
            self._deliver()

    def disarm(self) -> None:
        self.armed = False

    def strike(self, code: int, reason: str) -> None:
        self.pending = (code, reason)
        if self._thread is not None and INTERRUPT_SIGNAL is not None:
            signal.pthread_kill(self._thread, INTERRUPT_SIGNAL)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._deliver()

    def _deliver(self) -> None:
        if reason := self._due():
            raise INTERRUPTS[reason]


class ThreadSlot(Slot):
    """Jobs of any other thread; they are interrupted between two bytecodes."""

    __slots__ = ("_lock", "_thrown", "thread")

    def __init__(self, board: Board, number: int) -> None:
        super().__init__(board, number)
        self._lock = threading.Lock()
        self._thrown = False
        self.thread = 0

    def begin_thread(self) -> None:
        self.thread = threading.get_ident()

    def arm(self) -> None:
        with self._lock:
            self.armed = True
            reason = self._due()
        if reason:
            raise INTERRUPTS[reason]

    def disarm(self) -> None:
        with self._lock:
            self.armed = False
            if self._thrown:
                self._thrown = False
                _throw(self.thread, None)

    def strike(self, code: int, reason: str) -> None:
        with self._lock:
            self.pending = (code, reason)
            due = self._due()
            if due:
                self._thrown = True
                _throw(self.thread, INTERRUPTS[due])


class TaskSlot(Slot):
    """Jobs of the event loop; they are interrupted where they await."""

    __slots__ = ("_cancelled", "call", "loop", "task")

    def __init__(self, board: Board, number: int) -> None:
        super().__init__(board, number)
        # Whether we have cancelled the task of now and it has not heard of it.
        self._cancelled = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self.task: asyncio.Task[None] | None = None
        self.call: Coroutine[Any, Any, Any] | None = None

    @property
    def coroutine(self) -> Coroutine[Any, Any, Any] | None:
        return self.call

    def _first_limit(self, now: float) -> float:
        # Others may keep the loop, or the thread in which arguments are fetched: that is
        # not this job's time.
        return WAITING

    def prepare(self, code: int, body: Body) -> Body:
        """Decode the arguments of the job of that code, in that thread: from when it has
        it until it is done that is this job's time.
        """
        self._limit_preparation(code, monotonic() + PREPARATION_SECONDS)
        try:
            return body.decoded(codec)
        finally:
            self._limit_preparation(code, WAITING)

    def _limit_preparation(self, code: int, hard: float) -> None:
        # That thread may go on, or begin, when another job has the place.
        if self.code == code:
            self._cells[self._hard] = hard

    def arm(self) -> None:
        self._cancelled = False
        self.armed = True
        if reason := self._due():
            raise INTERRUPTS[reason]

    def disarm(self) -> None:
        self.armed = False

    def strike(self, code: int, reason: str) -> None:
        self.pending = (code, reason)
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self._cancel, code)

    def interruption(self) -> BaseException | None:
        """What a cancelled await of the job has to raise instead, if we cancelled: the
        interrupt, which is a CancelledError as well.
        """
        if not self._cancelled:
            return None
        self._cancelled = False
        reason = self._due()
        return _OF_TASKS[reason]() if reason else None

    def interrupt_behind(self, error: BaseException) -> BaseException | None:
        """The interrupt that a job has ended with although it raised ``error``: where a
        cancellation is raised anew, or is put into a group, the reason gets lost.
        """
        first = error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if not self.fired or not _is_cancellation(error):
            return None
        if isinstance(first, JobTimeout | JobInterrupted):
            return first
        return INTERRUPTS[self.fired]().with_traceback(first.__traceback__)

    def _cancel(self, code: int) -> None:
        pending = self.pending
        if self.task is None or self.code != code or not self.armed or pending is None:
            return
        self._cancelled = True
        self.task.cancel()

    def insist(self) -> None:
        """Where what the job awaited has kept our cancellation to itself, have it heard by
        what it awaits now.
        """
        if self._cancelled and self.task is not None:
            self.task.uncancel()
            self.task.cancel()


def _is_cancellation(error: BaseException) -> bool:
    """Whether it is nothing but that."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_cancellation(each) for each in error.exceptions)
    return isinstance(error, asyncio.CancelledError)


_throw_raw: Callable[[ctypes.c_ulong, ctypes.py_object[Any] | None], int]
_throw_raw = ctypes.pythonapi.PyThreadState_SetAsyncExc


def _throw(thread: int, kind: type[BaseException] | None) -> None:
    """Have ``thread`` raise ``kind`` soon; with None take back what was not raised."""
    value = None if kind is None else ctypes.py_object(kind)
    _throw_raw(ctypes.c_ulong(thread), value)
