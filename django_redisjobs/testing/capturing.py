"""Collecting jobs instead of sending them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ContextDecorator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast, overload
from unittest import TestCase

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from django_redisjobs import eager, offline, registry
from django_redisjobs.core.payload import Body, decode_body, parse_body
from django_redisjobs.core.records import JobStatus, NewJob
from django_redisjobs.definitions import JobFunction
from django_redisjobs.delivery import Outgoing, announce
from django_redisjobs.enqueueing import DivertedHook, current_sink, diverted
from django_redisjobs.exceptions import MissingInstance
from django_redisjobs.handles import JobHandle
from django_redisjobs.offline import OfflineJob, now_ms
from django_redisjobs.policies import CARRIED
from django_redisjobs.retries import Retry
from django_redisjobs.serialization import codec, comparing_codec, snapshot_codec
from django_redisjobs.snapshots import aware
from django_redisjobs.worker.direct import DirectExecution, SilentLog

from .commits import committing
from .limits import (
    LIMIT,
    Scheduled,
    check_queues,
    horizon_ms,
    refuse_generator,
    refuse_loop,
    too_many,
)
from .outcomes import Outcome, raise_first

_F = TypeVar("_F", bound=Callable[..., Any])


class CapturedJob:
    """A job that would have been enqueued.

    ``function`` is the job function (without what ``using`` changed), ``queue`` the
    queue's name, ``options`` what else this call chose, by the names that ``using``
    has: ``priority`` ``run_after`` ``expires`` ``timeout`` ``retry`` ``result_ttl``,
    durations in seconds.
    """

    __slots__ = ("_job",)

    def __init__(self, job: OfflineJob) -> None:
        self._job = job

    @property
    def id(self) -> str:
        return self._job.id

    @property
    def handle(self) -> JobHandle[Any]:
        """Answers from this process: pending until the job is run."""
        return JobHandle(self.id, self.queue)

    @property
    def function(self) -> JobFunction[..., Any]:
        return registry.resolve(self.path)

    @property
    def path(self) -> str:
        """The function's dotted path."""
        return self._stored.function

    @property
    def queue(self) -> str:
        return self._job.new.queue

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments, as the job would receive them: encoded and
        decoded, model instances fetched from the database.
        """
        return tuple(decode_body(self._job.new.body, codec).args)

    @property
    def kwargs(self) -> dict[str, Any]:
        return decode_body(self._job.new.body, codec).kwargs

    @property
    def options(self) -> Mapping[str, Any]:
        new, carried = self._job.new, self._stored.options
        chosen: dict[str, Any] = {
            name: value for name, value in carried.items() if name in CARRIED
        }
        if "retry" in chosen:
            chosen["retry"] = Retry.from_json(chosen["retry"])
        if new.priority:
            chosen["priority"] = new.priority
        if new.delay_ms is not None:
            chosen["run_after"] = new.delay_ms / 1000
        if new.due_ms is not None:
            chosen["run_after"] = aware(new.due_ms)
        if new.ttl_ms is not None:
            chosen["expires"] = new.ttl_ms / 1000
        return chosen

    def is_call(
        self,
        function: JobFunction[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> bool:
        """Whether it would call ``function``, whose job it is, with just these."""
        wanted = _calls(function, args, kwargs)
        try:
            return _calls(function, self.args, self.kwargs) == wanted
        except (MissingInstance, SynchronousOnlyOperation):
            # It is gone, or this is an event loop. Which row it was is known.
            body = self._stored.decoded(comparing_codec)
            return _calls(function, body.args, body.kwargs) == wanted

    def __repr__(self) -> str:
        body = self._referring
        given = [repr(each) for each in body.args]
        given += [f"{name}={value!r}" for name, value in body.kwargs.items()]
        return f"{body.function}({', '.join(given)}) in {self.queue}"

    @property
    def _stored(self) -> Body:
        return parse_body(self._job.new.body)

    @property
    def _referring(self) -> Body:
        """With references in place of model instances: no row is fetched."""
        return self._stored.decoded(snapshot_codec)


@dataclass(slots=True)
class _Entry:
    """``outgoing``: the job alone, None once receivers know of it; ``hook``: None once
    it is committed.
    """

    job: OfflineJob
    outgoing: Outgoing | None = None
    hook: DivertedHook | None = None


class CapturedJobs(Sequence[CapturedJob]):
    """What would have been enqueued, in the order of the calls.

    Jobs that wait for the commit of an open transaction are among them, those of
    transactions and savepoints that were rolled back are not.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._is_open = True

    def __deepcopy__(self, memo: dict[int, Any]) -> CapturedJobs:
        """What setUpTestData captured is each test's own, and its handles answer for it.

        While jobs are still captured, there is but this one.
        """
        if self._is_open:
            return self
        copied = CapturedJobs()
        copied._entries = {
            job_id: replace(entry, job=deepcopy(entry.job, memo))
            for job_id, entry in self._entries.items()
        }
        copied._is_open = False
        return copied

    def __len__(self) -> int:
        return len(self._alive())

    @overload
    def __getitem__(self, index: int) -> CapturedJob: ...

    @overload
    def __getitem__(self, index: slice) -> list[CapturedJob]: ...

    def __getitem__(self, index: int | slice) -> CapturedJob | list[CapturedJob]:
        captured = [CapturedJob(entry.job) for entry in self._alive()]
        return captured[index]

    def __repr__(self) -> str:
        return f"<{len(self)} captured jobs: {list(self)}>"

    def of(self, function: JobFunction[..., Any] | str) -> list[CapturedJob]:
        """Those of one job function, given as such or by its dotted path."""
        path = function if isinstance(function, str) else _job_function(function).path
        return [each for each in self if each.path == path]

    def assert_enqueued(
        self,
        function: JobFunction[..., Any] | str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        count: int | None = None,
    ) -> list[CapturedJob]:
        """Fail unless there is such a job, or exactly ``count`` of them; gives them.

        With ``args`` or ``kwargs`` only jobs count that would call the function with
        just these; it does not matter which of them were passed by name.
        """
        __tracebackhide__ = True
        job_function = _job_function(function)
        found = [
            each
            for each in self.of(job_function.path)
            if queue in (None, each.queue)
            and (
                (args is None and kwargs is None)
                or each.is_call(job_function, args or (), kwargs or {})
            )
        ]
        if (len(found) != count) if count is not None else not found:
            wanted = _wanted(job_function, args, kwargs, queue)
            times = "at least once" if count is None else f"{count} times"
            raise AssertionError(
                f"{wanted} should have been enqueued {times}, and was {len(found)} "
                f"times. {self._listed()}"
            )
        return found

    def assert_no_jobs(self) -> None:
        """Fail if there is any job."""
        __tracebackhide__ = True
        if len(self):
            raise AssertionError(f"No job should be enqueued. {self._listed()}")

    def run(
        self,
        *queues: str,
        scheduled: Scheduled = False,
        raise_errors: bool = True,
        limit: int = LIMIT,
    ) -> list[Outcome]:
        """``run_jobs()`` for these; what they enqueue is captured, and run, too.

        They run in the order in which they were enqueued, whatever their queues. What
        ``expires`` no longer lets start ends as expired. Raises as ``run_jobs()`` does.
        """
        refuse_loop("await captured.arun()")
        check_queues(queues)
        outcomes: list[Outcome] = []
        execution = DirectExecution(SilentLog(), retries=True)
        with diverted(self):
            while ready := self._ready(queues, horizon_ms(scheduled)):
                for entry in ready:
                    if len(outcomes) >= limit:
                        raise too_many(limit)
                    # One that ran before it may have cancelled it.
                    if entry.job.status in _WAITING:
                        self._commit(entry)
                        if not entry.job.expires():
                            outcomes.append(self._run(entry, execution))
        if raise_errors:
            raise_first(outcomes)
        return outcomes

    async def arun(
        self,
        *queues: str,
        scheduled: Scheduled = False,
        raise_errors: bool = True,
        limit: int = LIMIT,
    ) -> list[Outcome]:
        """``run`` from an async test."""
        return await sync_to_async(self.run)(
            *queues, scheduled=scheduled, raise_errors=raise_errors, limit=limit
        )

    # The sink's side

    def hold(self, outgoing: Outgoing, hook: DivertedHook) -> None:
        for job in outgoing.jobs:
            self._enter(outgoing, job, hook)

    def take(self, outgoing: Outgoing) -> None:
        for job in outgoing.jobs:
            entry = self._entries.get(job.id)
            self._commit(entry or self._enter(outgoing, job, None))

    def freeze(self) -> None:
        """From now on nothing is rolled back any more."""
        self._is_open = False
        for entry in self._alive():
            entry.hook = None
            entry.job.one_a_test = True
        for job_id in [key for key, entry in self._entries.items() if entry.hook]:
            offline.forget(self._entries.pop(job_id).job)

    def _enter(
        self, outgoing: Outgoing, job: NewJob, hook: DivertedHook | None
    ) -> _Entry:
        alone = outgoing._replace(jobs=[job])
        entry = _Entry(OfflineJob(job, _wait_again), alone, hook)
        self._entries[job.id] = entry
        return entry

    def _commit(self, entry: _Entry) -> None:
        outgoing, entry.outgoing, entry.hook = entry.outgoing, None, None
        if outgoing is not None:
            announce([outgoing])

    def _alive(self) -> list[_Entry]:
        entries = list(self._entries.values())
        databases = {entry.hook.database for entry in entries if entry.hook}
        hooks = {
            id(each[1]) for database in databases for each in database.run_on_commit
        }
        return [
            entry for entry in entries if entry.hook is None or id(entry.hook) in hooks
        ]

    def _ready(self, queues: Sequence[str], until_ms: float) -> list[_Entry]:
        return [
            entry
            for entry in self._alive()
            if entry.job.status in _WAITING
            and (entry.job.status is JobStatus.PENDING or entry.job.due_ms <= until_ms)
            and (not queues or entry.job.new.queue in queues)
        ]

    def _run(self, entry: _Entry, execution: DirectExecution) -> Outcome:
        job = entry.job
        with committing():
            settlements, exception = eager.attempt(job, execution)
        callback = job.callback()
        if callback is not None:
            made = OfflineJob(callback, _wait_again)
            self._entries[made.id] = _Entry(made)
        return Outcome.of(settlements, exception)

    def _listed(self) -> str:
        lines = "".join(f"\n- {each!r}" for each in self)
        return f"Captured:{lines}" if lines else "Nothing was captured."


_WAITING = frozenset({JobStatus.PENDING, JobStatus.SCHEDULED})


class captured_jobs(ContextDecorator):  # noqa: N801 - as memory_server
    """Collect the jobs that are enqueued within, in any thread, and send none.

    Also those that wait for a commit, which a TestCase never sees. Arguments are
    checked and encoded as ever. No server is needed, and handles answer from here.

    A context manager, and a decorator of functions, plain and ``async def``, and of
    TestCase classes, where each test has its own, from ``setUp`` to its clean-ups; not
    of generator functions, such as fixtures that yield.

    ``execute``: run them at the end, with those that they enqueue, as ``run()`` does;
    an async test says ``async with`` then.
    """

    def __init__(self, *, execute: bool = False) -> None:
        self._execute = execute
        self._captured = CapturedJobs()
        self._diverting = diverted(self._captured)

    def __call__(self, decorated: _F) -> _F:
        if isinstance(decorated, type):
            return cast("_F", self._around_tests_of(decorated))
        refuse_generator(decorated, "`with` in it, or the fixture `captured_jobs`")
        if iscoroutinefunction(decorated):
            return cast("_F", self._around_coroutines_of(decorated))
        return super().__call__(decorated)

    def _around_tests_of(self, decorated: type) -> type:
        if not issubclass(decorated, TestCase):
            raise TypeError(
                "captured_jobs() decorates functions and TestCase classes, and "
                f"{decorated.__name__} is neither."
            )
        if self._execute:
            raise TypeError(
                "captured_jobs(execute=True) decorates functions: a class has several "
                "ends. Say run_jobs() in its tests."
            )
        # To type checkers a method is nothing that is replaced.
        tests: Any = decorated
        set_up = tests.setUp

        @wraps(set_up)
        def capture_and_set_up(test: TestCase) -> None:
            test.enterContext(self._recreate_cm())
            set_up(test)

        tests.setUp = capture_and_set_up
        return decorated

    def _around_coroutines_of(self, decorated: Callable[..., Any]) -> Any:
        @wraps(decorated)
        async def captured(*args: Any, **kwargs: Any) -> Any:
            async with self._recreate_cm():
                return await decorated(*args, **kwargs)

        return captured

    def _recreate_cm(self) -> captured_jobs:
        """As a decorator: for each call."""
        return captured_jobs(execute=self._execute)

    def __enter__(self) -> CapturedJobs:
        if self._execute:
            refuse_loop("async with captured_jobs(execute=True)")
        self._diverting.__enter__()
        return self._captured

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        self._diverting.__exit__(None, None, None)
        if raised is None:
            if self._execute:
                self._captured.run()
            self._captured.freeze()

    async def __aenter__(self) -> CapturedJobs:
        self._diverting.__enter__()
        return self._captured

    async def __aexit__(self, raised: type[BaseException] | None, *_: object) -> None:
        self._diverting.__exit__(None, None, None)
        if raised is None:
            if self._execute:
                await self._captured.arun()
            self._captured.freeze()


def active_capture() -> CapturedJobs | None:
    """The innermost ``captured_jobs()`` that is open."""
    sink = current_sink()
    return sink if isinstance(sink, CapturedJobs) else None


def _wait_again(job: OfflineJob) -> None:
    """Somebody had it retried: it is pending, until the next ``run()``."""
    job.due_ms = now_ms()


def _job_function(function: JobFunction[..., Any] | str) -> JobFunction[..., Any]:
    if isinstance(function, JobFunction):
        return function
    if isinstance(function, str):
        return registry.load(function)
    # Not everybody has types checked.
    raise TypeError(f"{function!r} is no job function, nor the dotted path of one.")


def _calls(
    function: JobFunction[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments by the names of their parameters."""
    function.check_arguments(args, kwargs)
    return function.signature.bind(*args, **kwargs).arguments


def _wanted(
    function: JobFunction[..., Any],
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    queue: str | None,
) -> str:
    wanted = function.path
    if args is not None or kwargs is not None:
        given = [repr(each) for each in args or ()]
        given += [f"{name}={value!r}" for name, value in (kwargs or {}).items()]
        wanted += f"({', '.join(given)})"
    return wanted if queue is None else f"{wanted} in {queue}"
