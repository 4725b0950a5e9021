"""Job functions: what ``@job`` makes of a function, and how jobs of it are made."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, ParamSpec, Self, TypeVar, Unpack, cast

from django.db import DEFAULT_DB_ALIAS
from django.db import connections as databases
from django.utils.module_loading import import_string

from django_redisjobs import conf
from django_redisjobs.binding import Binder
from django_redisjobs.conf import Settings
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.payload import (
    Callback,
    callback_body,
    check_size,
    encode_body,
)
from django_redisjobs.core.records import (
    ON_FAILURE,
    ON_SUCCESS,
    NewJob,
    new_id,
    new_ids,
)
from django_redisjobs.core.signatures import Signatures
from django_redisjobs.delivery import Outgoing
from django_redisjobs.enqueueing import ahand_over, hand_over
from django_redisjobs.exceptions import (
    ConfigurationError,
    DefinitionError,
    UnknownJobFunction,
    UnknownQueue,
)
from django_redisjobs.handles import JobHandle
from django_redisjobs.languages import foreign_language
from django_redisjobs.options import (
    CALL_OPTIONS,
    CallArguments,
    Inherit,
    JobOptions,
    epoch_ms,
    read_options,
    to_ms,
)
from django_redisjobs.policies import CARRIED, Policy, of_queue, with_carried
from django_redisjobs.retries import Retry
from django_redisjobs.serialization import codec

P = ParamSpec("P")
R = TypeVar("R")
_J = TypeVar("_J", bound="JobFunction[..., Any]")

# What Django fills in for a database that has none.
_NO_ENGINE = "django.db.backends.dummy"

# Each with its bit, and with what its id adds to that of its job.
_CALLBACKS = {"on_success": (ON_SUCCESS, "-s0"), "on_failure": (ON_FAILURE, "-f0")}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What all jobs of one job function share, under one reading of the settings."""

    settings: Settings
    keys: GroupKeys
    envelope: Mapping[str, Any]
    callbacks: int
    delay_ms: int | None
    due_ms: int | None
    ttl_ms: int | None
    on_commit: bool
    using_db: str | None


class JobFunction(Generic[P, R]):
    """A function that can be run later, by a worker. Calling it runs it now.

    ``path`` is the dotted path by which workers find it. Reads no settings and
    does no I/O before its first job.
    """

    __wrapped__: Callable[P, Any]
    __name__: str
    __qualname__: str

    def __init__(
        self, function: Callable[P, Any], path: str, options: JobOptions
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.path = path
        self.options = options
        self.is_async = inspect.iscoroutinefunction(function)
        if options.atomic and self.is_async:
            raise DefinitionError(
                f"{path}: atomic=True needs a plain function; Django's transactions "
                "do not span awaits. Use atomic() in a function under sync_to_async."
            )
        self._given: frozenset[str] = frozenset()
        self._origin = self
        self._binder: Binder | None = None
        self._plan: _Plan | None = None
        self._policies: dict[str, tuple[Settings, Policy]] = {}

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self.function(*args, **kwargs)
        return result

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    # Like a function it is never copied, and pickled by its name.

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        if self._origin is self:
            return self.__qualname__
        return _variant, (self._origin, self.options, self._given)

    def using(self, **options: Unpack[CallArguments]) -> Self:
        """A copy whose jobs differ in these options; this one stays as it is.

        Raises:
            TypeError: an option is unknown or of a wrong type.
            ValueError: an option's value is out of range.
        """
        values = read_options(options, CALL_OPTIONS, f"{self.path}.using()")
        if "retry" in values:
            self._check_retry(values["retry"])
        given = self._given | (CARRIED & values.keys())
        return _variant(self, replace(self.options, **values), given)

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Have a worker run it: at commit inside a transaction, else at once.

        The id is known and final in either case.

        Raises:
            TypeError: the arguments do not fit the function's signature, or
                (PayloadNotSerializable) one is of a type that jobs cannot carry.
            PayloadTooLarge: they are over MAX_PAYLOAD.
            UnknownQueue: the settings lack its queue.
            EnqueueError: Redis refused the job or did not answer. Inside a
                transaction it is raised after the commit, by ``atomic``.
        """
        plan = self._current_plan()
        envelope = _carrying_language(plan.envelope)
        job = self._job(plan, envelope, new_id(), args, kwargs)
        outgoing = self._outgoing(plan, [job])
        hand_over(outgoing, on_commit=plan.on_commit, using_db=plan.using_db)
        return JobHandle(job.id, job.queue)

    async def adelay(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """``delay``, at once, also where a coroutine runs within a transaction that its
        caller has opened. ``sync_to_async`` of ``delay`` waits for the commit of that.
        """
        plan = self._current_plan()
        envelope = _carrying_language(plan.envelope)
        job = self._job(plan, envelope, new_id(), args, kwargs)
        await ahand_over(self._outgoing(plan, [job]))
        return JobHandle(job.id, job.queue)

    def delay_many(
        self, calls: Iterable[Sequence[Any] | Mapping[str, Any]], /
    ) -> list[JobHandle[R]]:
        """One job for each tuple of positional or dict of keyword arguments.

        Up to 5,000 are one round trip: they are enqueued all or, where it raises as
        ``delay`` does, not at all. More are as many such parts as it takes.
        """
        plan = self._current_plan()
        jobs = self._jobs(plan, calls)
        if jobs:
            outgoing = self._outgoing(plan, jobs)
            hand_over(outgoing, on_commit=plan.on_commit, using_db=plan.using_db)
        return [JobHandle(job.id, job.queue) for job in jobs]

    async def adelay_many(
        self, calls: Iterable[Sequence[Any] | Mapping[str, Any]], /
    ) -> list[JobHandle[R]]:
        """``delay_many``, at once."""
        plan = self._current_plan()
        jobs = self._jobs(plan, calls)
        if jobs:
            await ahand_over(self._outgoing(plan, jobs))
        return [JobHandle(job.id, job.queue) for job in jobs]

    def check_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise TypeError if a call with these would; says the signature."""
        binder = self._signature()
        try:
            binder.check(args, kwargs)
        except TypeError as error:
            raise TypeError(f"{self.path}{binder.signature}: {error}") from None

    @property
    def signature(self) -> inspect.Signature:
        return self._signature().signature

    def check_configuration(self) -> None:
        """Raise what ``delay`` would raise under the present settings. No I/O."""
        self._current_plan()

    def unheard_callbacks(self) -> list[str]:
        """Its callbacks that name callbacks themselves: these are for jobs that ``delay``
        makes, and nobody calls them at the end of a callback. Each as ``option: path``.
        """
        found = []
        for name in _CALLBACKS:
            path = getattr(self.options, name)
            target = path and self._callback_target(name, path)
            if target and (target.options.on_success or target.options.on_failure):
                found.append(f"{name}: {path}")
        return found

    def policy(self, queue: str, carried: Mapping[str, Any]) -> Policy:
        """What holds for a job of it in ``queue``, with what its envelope carries.

        The call's own values come first, then the job function's, then the queue's.

        Raises:
            PayloadMalformed: the envelope carries no such values.
        """
        settings = conf.get_settings()
        known = self._policies.get(queue)
        if known is None or known[0] is not settings:
            known = settings, of_queue(self.options, queue)
            self._policies[queue] = known
        policy = known[1]
        if CARRIED.isdisjoint(carried):
            return policy
        return with_carried(policy, carried)

    def _signature(self) -> Binder:
        if self._binder is None:
            self._binder = Binder(self.function)
        return self._binder

    def _current_plan(self) -> _Plan:
        settings = conf.get_settings()
        plan = self._plan
        if plan is None or plan.settings is not settings:
            plan = self._plan = self._make_plan(settings)
        return plan

    def _make_plan(self, settings: Settings) -> _Plan:
        options = self.options
        # Only the worker needs it, but here it is noticed early.
        self.atomic_in(settings)
        keys = _keys_for(options.queue, self.path)
        envelope = {name: self._carried(name) for name in sorted(self._given)}
        callbacks = 0
        for name, (bit, _) in _CALLBACKS.items():
            path = getattr(options, name)
            if path is not None:
                envelope[name] = self._callback(name, path)
                callbacks |= bit
        after = options.run_after
        at_commit = settings.on_commit
        if options.on_commit is not None:
            at_commit = options.on_commit
        return _Plan(
            settings=settings,
            keys=keys,
            envelope=envelope,
            callbacks=callbacks,
            delay_ms=to_ms(after) if isinstance(after, int | float) else None,
            due_ms=epoch_ms(after) if isinstance(after, datetime) else None,
            ttl_ms=None if options.expires is None else to_ms(options.expires),
            on_commit=bool(at_commit),
            using_db=self._named_database(settings),
        )

    def atomic_in(self, settings: Settings) -> str | None:
        """The database in whose transaction a job runs; None for one without.

        Raises:
            ConfigurationError: there is no such database.
        """
        if not self.options.atomic:
            return None
        alias = self._named_database(settings) or DEFAULT_DB_ALIAS
        if databases.settings[alias]["ENGINE"] == _NO_ENGINE:
            raise ConfigurationError(
                f"{self.path}: atomic=True wants a transaction of the database {alias!r}, "
                "which has no ENGINE in DATABASES. Name another one by using_db."
            )
        return alias

    def _named_database(self, settings: Settings) -> str | None:
        alias, where = self.options.using_db, f"{self.path}: using_db="
        if alias is None and isinstance(settings.on_commit, str):
            alias, where = settings.on_commit, "REDISJOBS['ON_COMMIT'] = "
        if alias is None or alias in databases.settings:
            return alias
        raise ConfigurationError(
            f"{where}{alias!r} is no alias in DATABASES, which has "
            f"{', '.join(databases.settings)}."
        )

    def _carried(self, name: str) -> object:
        value = getattr(self.options, name)
        return value.to_json() if isinstance(value, Retry) else value

    def _callback(self, name: str, path: str) -> list[object]:
        """A ``Callback``, without what is at its end and as is usual."""
        target = self._callback_target(name, path)
        if target is None:
            # A plain function's runs where its job ran.
            return [path, self.options.queue]
        options = target.options
        own = _keys_for(self.options.queue, self.path)
        other = _keys_for(options.queue, path)
        if own != other:
            raise ConfigurationError(
                f"{self.path}: {name}={path!r} runs in queue {options.queue!r} of group "
                f"{other.group!r}, but a callback is enqueued in the very step that "
                f"ends its job, so it has to be of the same group, {own.group!r}."
            )
        if not options.priority and options.expires is None:
            return [path, options.queue]
        ttl_ms = 0 if options.expires is None else to_ms(options.expires)
        return [*Callback(path, options.queue, None, options.priority, ttl_ms)]

    def _callback_target(self, name: str, path: str) -> JobFunction[..., Any] | None:
        """None where the path leads to a plain function."""
        try:
            target = import_string(path)
        except ImportError as error:
            raise UnknownJobFunction(
                f"{self.path}: {name}={path!r} cannot be imported: {error}"
            ) from error
        is_job = isinstance(target, JobFunction)
        self._check_callback(name, path, target.function if is_job else target)
        return target if is_job else None

    def _check_callback(self, name: str, path: str, function: object) -> None:
        # A decorator below @job may give it more.
        if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
            return
        binder = Binder(function)
        try:
            binder.check([""], {})
        except TypeError as error:
            raise ConfigurationError(
                f"{self.path}: {name}={path!r} is called with the id of the job that "
                f"ended, and nothing else, but is {function.__name__}"
                f"{binder.signature}: {error}."
            ) from None

    def _check_retry(self, given: Retry) -> None:
        own = self.options.retry
        if not isinstance(own, Inherit) and (given.on, given.give_up_on) == (
            own.on,
            own.give_up_on,
        ):
            return
        default = Retry()
        if (given.on, given.give_up_on) != (default.on, default.give_up_on):
            raise ValueError(
                f"{self.path}.using(retry=...): a job cannot carry exception classes. "
                "Say on= and give_up_on= in @job; they hold for every job of it."
            )

    def _job(
        self,
        plan: _Plan,
        envelope: Mapping[str, Any],
        job_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> NewJob:
        binder = self._binder or self._signature()
        try:
            binder.check(args, kwargs)
        except TypeError as error:
            raise TypeError(
                f"{self.path}{binder.signature}: {error}. Nothing was enqueued."
            ) from None
        path, options, signatures = self.path, self.options, plan.settings.signatures
        if signatures is not None and plan.callbacks:
            envelope = _with_signed_callbacks(envelope, job_id, signatures)
        body = encode_body(path, args, kwargs, envelope, codec, binder.names)
        check_size(body, plan.settings.max_payload, path)
        if signatures is not None:
            body = signatures.sign(job_id, body)
        return NewJob(
            job_id,
            options.queue,
            body,
            options.priority,
            plan.delay_ms,
            plan.due_ms,
            plan.ttl_ms,
            plan.callbacks,
        )

    def _jobs(
        self, plan: _Plan, calls: Iterable[Sequence[Any] | Mapping[str, Any]]
    ) -> list[NewJob]:
        jobs = []
        envelope = _carrying_language(plan.envelope)
        # Each as it comes: a generator may give the same dict again, with other values.
        for place, (call, job_id) in enumerate(zip(calls, new_ids(), strict=False)):
            try:
                if isinstance(call, tuple | list):
                    jobs.append(self._job(plan, envelope, job_id, call, {}))
                elif isinstance(call, Mapping):
                    jobs.append(self._job(plan, envelope, job_id, (), call))
                else:
                    raise TypeError(
                        f"{self.path}.delay_many() takes tuples of positional or dicts "
                        f"of keyword arguments, not {type(call).__name__}: {call!r:.80}"
                    )
            except (TypeError, ValueError) as error:
                error.add_note(f"It was item {place} of delay_many.")
                raise
        return jobs

    def _outgoing(self, plan: _Plan, jobs: Sequence[NewJob]) -> Outgoing:
        return Outgoing(jobs, self.options.queue, plan.keys, self._origin)


def _keys_for(queue: str, path: str) -> GroupKeys:
    """Those of the queue of a job function; the error names that."""
    try:
        return conf.keys_for(queue)
    except UnknownQueue as error:
        raise UnknownQueue(f"{path}: {error}") from None


def beneath(target: Any) -> JobFunction[..., Any] | None:
    """The job function that a decorator above its ``@job`` hides; else None."""
    try:
        found = inspect.unwrap(target, stop=_is_job_function)
    except ValueError:
        # What has every attribute that it is asked for seems wrapped without end.
        return None
    hides = found is not target and _is_job_function(found)
    return cast("JobFunction[..., Any]", found) if hides else None


def _is_job_function(each: object) -> bool:
    # Not isinstance(), where a proxy passes for what it wraps.
    return issubclass(type(each), JobFunction)


def _variant(origin: _J, options: JobOptions, given: frozenset[str]) -> _J:
    """A job function of other options, ``given`` of which its jobs carry."""
    copy = object.__new__(type(origin))
    copy.__dict__.update(origin.__dict__)
    copy.options = options
    copy._given = given
    copy._plan = None
    copy._policies = {}
    return copy


def _carrying_language(envelope: Mapping[str, Any]) -> Mapping[str, Any]:
    """Who enqueues in another language than the project's has the job run in it."""
    language = foreign_language()
    return {"language": language, **envelope} if language else envelope


def _with_signed_callbacks(
    envelope: Mapping[str, Any], job_id: str, signatures: Signatures
) -> Mapping[str, Any]:
    """Callbacks are made within Redis, where there are no keys: sign them now."""
    signed = dict(envelope)
    for name, (_, suffix) in _CALLBACKS.items():
        if name in envelope:
            path, queue, *others = envelope[name]
            signature = signatures.of(job_id + suffix, callback_body(path, job_id))
            signed[name] = [path, queue, signature, *others[1:]]
    return signed


class AsyncJobFunction(JobFunction[P, R]):
    """An ``async def`` one: calling it gives its coroutine."""

    def __call__(  # type: ignore[override]
        self, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]:
        coroutine: Coroutine[Any, Any, R] = self.function(*args, **kwargs)
        return coroutine
