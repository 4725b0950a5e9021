"""Queues by name: put jobs into one, look at it, hold it and let it go on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ParamSpec, TypeVar, overload

from django.utils.functional import Promise

from django_redisjobs import conf, registry
from django_redisjobs.calls import aask, ask
from django_redisjobs.core import inspection, operations
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import JobStatus, QueueCounts
from django_redisjobs.core.scripts import Conversation, together
from django_redisjobs.definitions import JobFunction, beneath
from django_redisjobs.durations import Duration, parse_duration
from django_redisjobs.exceptions import UnknownJobFunction
from django_redisjobs.handles import JobHandle
from django_redisjobs.options import (
    DECORATED,
    epoch_ms,
    read_queue,
    read_run_after,
    to_ms,
)

P = ParamSpec("P")
R = TypeVar("R")


def get_queue(name: str = "default") -> Queue:
    """The queue of that name. No I/O.

    Raises:
        UnknownQueue: REDISJOBS["QUEUES"] has no such queue.
        TypeError: it is no text.
    """
    conf.get_queue_settings(read_queue(name))
    return Queue(name)


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

    Jobs that went in before its ``GROUP`` was changed are in the former group yet, where
    no worker looks: ``counts`` and ``purge`` have them, too.

    Raises ServerUnavailable when Redis does not answer; enqueueing raises as ``delay``
    does.
    """

    name: str

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
        return ask(self._counts(self._served)).pending

    async def adepth(self) -> int:
        return (await aask(self._counts(self._served))).pending

    def latency(self) -> float:
        """Seconds for which the job that is next waits already; 0 when none does."""
        return ask(self._latency())

    async def alatency(self) -> float:
        return await aask(self._latency())

    def counts(self) -> QueueCounts:
        """How many jobs are in each status, and whether the queue is paused."""
        return ask(self._counts(conf.groups()))

    async def acounts(self) -> QueueCounts:
        return await aask(self._counts(conf.groups()))

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
            TypeError: ``reason`` or ``by`` is no text.
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
        return ask(self._resume())

    async def aresume(self) -> bool:
        return await aask(self._resume())

    def purge(self) -> int:
        """Delete all jobs that wait in it, ready or scheduled; gives how many."""
        return ask(self._purge())

    async def apurge(self) -> int:
        return await aask(self._purge())

    @property
    def _served(self) -> list[GroupKeys]:
        """Where workers may take its jobs from: of one that left the settings nobody
        knows which settings they have, so in any group.
        """
        if self.name in conf.get_settings().queues:
            return [conf.keys_for(self.name)]
        return list(conf.groups())

    def _latency(self) -> Conversation[float]:
        waits = [inspection.latency(keys, self.name) for keys in self._served]
        return max((yield from together(waits)))

    def _counts(self, groups: Collection[GroupKeys]) -> Conversation[QueueCounts]:
        counted = yield from together(
            [inspection.counts(keys, [self.name]) for keys in groups]
        )
        return joined(
            {keys: counts for keys, (counts,) in zip(groups, counted, strict=True)}
        )

    def _resume(self) -> Conversation[bool]:
        was_paused = False
        for keys in self._served:
            was_paused |= yield from operations.resume(keys, self.name)
        return was_paused

    def _purge(self) -> Conversation[int]:
        purged = 0
        for keys in conf.groups():
            purged += yield from operations.purge(keys, self.name)
        return purged

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
    ) -> Conversation[None]:
        for name, value in (("reason", reason), ("by", by)):
            if not isinstance(value, str | Promise):
                raise TypeError(f"{name} is a str, not {value!r}.")
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
        for keys in self._served:
            yield from operations.pause(
                keys,
                self.name,
                reason=reason,
                by=by,
                for_ms=for_ms,
                until_ms=until_ms,
            )


def purge_part(name: str) -> tuple[bool, int]:
    """One step of a queue's purge: whether more is left, and how many jobs are gone.

    Raises ServerUnavailable.
    """
    more, purged = False, 0
    for keys in conf.groups():
        has_more, part = ask(operations.purge_part(keys, name))
        more, purged = more or has_more, purged + part
    return more, purged


def joined(parts: Mapping[GroupKeys, QueueCounts]) -> QueueCounts:
    """What several groups have of one queue. It is paused where workers look: in the
    group of the settings, or in any once these do not have it.
    """
    first, *others = parts.values()
    if not others:
        return first
    if first.queue in conf.get_settings().queues:
        paused = parts[conf.keys_for(first.queue)].paused
    else:
        paused = next((each.paused for each in parts.values() if each.paused), None)
    sums = {
        status.value: sum(getattr(each, status.value) for each in parts.values())
        for status in JobStatus
    }
    return replace(first, paused=paused, **sums)


def _job_function(function: Any) -> JobFunction[..., Any]:
    if isinstance(function, JobFunction):
        return function
    if isinstance(function, str):
        return registry.load(function)
    hidden = beneath(function)
    if hidden is not None:
        raise UnknownJobFunction(f"{hidden.path} {DECORATED}")
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
