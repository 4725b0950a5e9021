"""``@job``, in all its forms."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from django_redisjobs import registry
from django_redisjobs.definitions import AsyncJobFunction, JobFunction
from django_redisjobs.exceptions import DefinitionError
from django_redisjobs.options import (
    JOB_OPTIONS,
    JobArguments,
    JobOptions,
    function_path,
    read_options,
)

P = ParamSpec("P")
R = TypeVar("R")


class JobDecorator(Protocol):
    """What ``@job(...)`` gives: it makes the function below it a job function."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncJobFunction[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> JobFunction[P, R]: ...


class _QueuedJobArguments(JobArguments, total=False):
    queue: str


@overload
def job(function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncJobFunction[P, R]: ...


@overload
def job(function: Callable[P, R], /) -> JobFunction[P, R]: ...


@overload
def job(queue: str, /, **options: Unpack[JobArguments]) -> JobDecorator: ...


@overload
def job(**options: Unpack[_QueuedJobArguments]) -> JobDecorator: ...


def job(target: Any = None, /, **options: Any) -> Any:
    """Make a function one that workers can run: ``@job``, ``@job("high", ...)``.

    Options: ``queue`` (default ``"default"``); ``timeout`` (None for no limit),
    ``retry``, ``result_ttl`` (all three: what is left out follows the queue's
    settings); ``on_success``, ``on_failure`` (a function or its dotted path, run
    as a job with the ended job's id); ``on_missing`` (``"discard"`` drops a job whose
    model instance is gone); ``atomic`` (run in a transaction); ``settle_each``
    (write its end at once); ``priority``, ``expires``, ``on_commit``, ``using_db``
    as in ``using``. Nothing is read or connected at definition.

    Raises:
        DefinitionError: a TypeError; an unknown option, or what is decorated is no
            function at the top level of an importable module.
        DuplicateJobFunction: another function has the same dotted path.
        ValueError: an option's value is out of range.
    """
    if isinstance(target, str):
        if "queue" in options:
            raise DefinitionError(
                f"@job({target!r}, queue={options['queue']!r}): the queue is given "
                "twice. Leave one of them out."
            )
        options["queue"] = target
    elif target is not None:
        if options:
            raise DefinitionError(
                "job(function, ...) takes no options: write job(...)(function)."
            )
        return _define(target, JobOptions())
    values = JobOptions(**read_options(options, JOB_OPTIONS, "@job"))

    def decorate(function: Callable[..., Any], /) -> JobFunction[..., Any]:
        return _define(function, values)

    return decorate


def _define(function: Callable[..., Any], options: JobOptions) -> JobFunction[..., Any]:
    if isinstance(function, JobFunction):
        raise DefinitionError(
            f"{function.path} is a job function already. For other options of a call "
            "write function.using(...)."
        )
    return registry.define(function, function_path(function), options)
