"""Queues by name: put jobs into one, look at it, hold it and let it go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ParamSpec, TypeVar, overload

from django_redisjobs import conf, registry
from django_redisjobs.calls import aask, ask, group_of
from django_redisjobs.core import inspection, operations
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import QueueCounts
from django_redisjobs.core.scripts import Conversation
from django_redisjobs.definitions import JobFunction
from django_redisjobs.durations import Duration, parse_duration
from django_redisjobs.exceptions import UnknownJobFunction
from django_redisjobs.handles import JobHandle
from django_redisjobs.options import epoch_ms, read_run_after, to_ms

P = ParamSpec("P")
R = TypeVar("R")


def get_queue(name: str = "default") -> Queue:
    """The queue of that name. No I/O.

    Raises:
        UnknownQueue: REDISJOBS["QUEUES"] has no such queue.
    """
    conf.get_queue_settings(name)
    return Queue(name)


def find_queue(name: str) -> Queue:
    """``get_queue`` for who looks after queues: of any that the settings or Redis have.

    Raises UnknownQueue and ServerUnavailable.
    """
    return Queue(name, _group=ask(group_of(name)))


@overload
def enqueue(
    function: JobFunction[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> JobHandle[R]: ...


@overload
def enqueue(function: str, /, *args: Any, **kwargs: Any) -> JobHandle[Any]: ...


def enqueue(function: Any, /, *args: Any, **kwargs: Any) -> JobHandle[Any]:
    """``delay`` of a job function, also by its dotted path, into its own queue.

    Raises as ``delay`` does, and UnknownJobFunction.
    """
    return _job_function(function).delay(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue. Everything but its name asks Redis, and has an async twin.

    Raises ServerUnavailable when Redis does not answer; enqueueing raises as ``delay``
    does.
    """

    name: str
    # The group of one that left the settings, which they cannot tell any more.
    _group: GroupKeys | None = field(
        default=None, repr=False, compare=False, kw_only=True
    )

    @overload
    def enqueue(
        self, function: JobFunction[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> JobHandle[R]: ...

    @overload
    def enqueue(
        self, function: str, /, *args: Any, **kwargs: Any
    ) -> JobHandle[Any]: ...

    def enqueue(self, function: Any, /, *args: Any, **kwargs: Any) -> JobHandle[Any]:
        """``delay`` into this queue, of a job function or by its dotted path."""
        return self._using(function).delay(*args, **kwargs)

    @overload
    async def aenqueue(
        self, function: JobFunction[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> JobHandle[R]: ...

    @overload
    async def aenqueue(
        self, function: str, /, *args: Any, **kwargs: Any
    ) -> JobHandle[Any]: ...

    async def aenqueue(
        self, function: Any, /, *args: Any, **kwargs: Any
    ) -> JobHandle[Any]:
        """``enqueue``, at once."""
        return await self._using(function).adelay(*args, **kwargs)

    @overload
    def enqueue_in(
        self,
        delay: Duration,
        function: JobFunction[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> JobHandle[R]: ...

    @overload
    def enqueue_in(
        self, delay: Duration, function: str, /, *args: Any, **kwargs: Any
    ) -> JobHandle[Any]: ...

    def enqueue_in(
        self, delay: Duration, function: Any, /, *args: Any, **kwargs: Any
    ) -> JobHandle[Any]:
        """``enqueue``, to run when ``delay`` has passed since Redis got it."""
        return self._using(function, parse_duration(delay)).delay(*args, **kwargs)

    @overload
    async def aenqueue_in(
        self,
        delay: Duration,
        function: JobFunction[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> JobHandle[R]: ...

    @overload
    async def aenqueue_in(
        self, delay: Duration, function: str, /, *args: Any, **kwargs: Any
    ) -> JobHandle[Any]: ...

    async def aenqueue_in(
        self, delay: Duration, function: Any, /, *args: Any, **kwargs: Any
    ) -> JobHandle[Any]:
        job_function = self._using(function, parse_duration(delay))
        return await job_function.adelay(*args, **kwargs)

    @overload
    def enqueue_at(
        self,
        when: datetime,
        function: JobFunction[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> JobHandle[R]: ...

    @overload
    def enqueue_at(
        self, when: datetime, function: str, /, *args: Any, **kwargs: Any
    ) -> JobHandle[Any]: ...

    def enqueue_at(
        self, when: datetime, function: Any, /, *args: Any, **kwargs: Any
    ) -> JobHandle[Any]:
        """``enqueue``, to run at an aware time; one in the past means now.

        Raises:
            ValueError: ``when`` has no time zone.
        """
        return self._using(function, _time(when)).delay(*args, **kwargs)

    @overload
    async def aenqueue_at(
        self,
        when: datetime,
        function: JobFunction[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> JobHandle[R]: ...

    @overload
    async def aenqueue_at(
        self, when: datetime, function: str, /, *args: Any, **kwargs: Any
    ) -> JobHandle[Any]: ...

    async def aenqueue_at(
        self, when: datetime, function: Any, /, *args: Any, **kwargs: Any
    ) -> JobHandle[Any]:
        return await self._using(function, _time(when)).adelay(*args, **kwargs)

    def depth(self) -> int:
        """How many jobs are ready and wait for a worker."""
        return self.counts().pending

    async def adepth(self) -> int:
        return (await self.acounts()).pending

    def latency(self) -> float:
        """Seconds for which the job that is next waits already; 0 when none does."""
        return ask(inspection.latency(self._keys, self.name))

    async def alatency(self) -> float:
        return await aask(inspection.latency(self._keys, self.name))

    def counts(self) -> QueueCounts:
        """How many jobs are in each status, and whether the queue is paused."""
        return ask(inspection.counts(self._keys, [self.name]))[0]

    async def acounts(self) -> QueueCounts:
        return (await aask(inspection.counts(self._keys, [self.name])))[0]

    def pause(
        self,
        reason: str = "",
        by: str = "",
        for_: Duration | None = None,
        until: datetime | None = None,
    ) -> None:
        """Let no more job of it start; jobs may still be enqueued.

        It lasts until ``resume()``, or for a duration, or until an aware time.

        Raises:
            ValueError: ``for_`` and ``until`` together, or one is no such time or
                over at once.
        """
        ask(self._pause(reason, by, for_, until))

    async def apause(
        self,
        reason: str = "",
        by: str = "",
        for_: Duration | None = None,
        until: datetime | None = None,
    ) -> None:
        await aask(self._pause(reason, by, for_, until))

    def resume(self) -> bool:
        """Let its jobs start again. False when it was not paused."""
        return ask(operations.resume(self._keys, self.name))

    async def aresume(self) -> bool:
        return await aask(operations.resume(self._keys, self.name))

    def purge(self) -> int:
        """Delete all jobs that wait in it, ready or scheduled; gives how many."""
        return ask(operations.purge(self._keys, self.name))

    async def apurge(self) -> int:
        return await aask(operations.purge(self._keys, self.name))

    @property
    def _keys(self) -> GroupKeys:
        return self._group or conf.keys_for(self.name)

    def _using(
        self,
        function: JobFunction[..., Any] | str,
        run_after: float | datetime | None = None,
    ) -> JobFunction[..., Any]:
        job_function = _job_function(function)
        if run_after is None:
            return job_function.using(queue=self.name)
        return job_function.using(queue=self.name, run_after=run_after)

    def _pause(
        self, reason: str, by: str, for_: Duration | None, until: datetime | None
    ) -> Conversation[int]:
        if for_ is not None and until is not None:
            raise ValueError("pause() takes for_= or until=, not both.")
        for_ms = None if for_ is None else to_ms(parse_duration(for_))
        until_ms = None if until is None else epoch_ms(_time(until))
        if for_ms == 0:
            raise ValueError(f"A pause for {for_!r} is none: give a time above 0.")
        # The server's time is the one that pauses end by.
        if until_ms is not None and until_ms <= (yield from inspection.now_ms()):
            raise ValueError(
                f"A pause until {until} is over already: give a time that is to come."
            )
        return (
            yield from operations.pause(
                self._keys,
                self.name,
                reason=reason,
                by=by,
                for_ms=for_ms,
                until_ms=until_ms,
            )
        )


def _job_function(function: Any) -> JobFunction[..., Any]:
    if isinstance(function, JobFunction):
        return function
    if isinstance(function, str):
        return registry.load(function)
    kind = "a plain function" if isinstance(function, Callable) else "no function"  # type: ignore[arg-type]
    raise UnknownJobFunction(
        f"{function!r} is {kind}. Enqueue a job function (put @job above it) or the "
        "dotted path of one."
    )


def _time(when: datetime) -> datetime:
    if not isinstance(when, datetime):
        raise ValueError(f"{when!r} is no datetime. For a duration use enqueue_in().")  # noqa: TRY004  all bad times are ValueErrors
    read_run_after(when)
    return when
