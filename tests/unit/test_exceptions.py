from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_redisjobs import exceptions


@dataclass(frozen=True)
class Attempt:
    number: int = 2
    outcome: str = "failed"
    exception_class: str = "builtins.ValueError"
    message: str = "no"
    traceback: str = "Traceback…\nValueError: no\n"


# Raised into running jobs, which may say ``except RedisJobsError``.
INTO_JOBS = {exceptions.JobTimeout, exceptions.JobInterrupted}


def test_everything_else_has_one_root() -> None:
    errors = {
        value
        for name in exceptions.__all__
        if inspect.isclass(value := getattr(exceptions, name))
        and issubclass(value, BaseException)
    }

    assert {e for e in errors if not issubclass(e, exceptions.RedisJobsError)} == (
        INTO_JOBS
    )


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (exceptions.ConfigurationError, ImproperlyConfigured),
        (exceptions.UnknownQueue, exceptions.ConfigurationError),
        (exceptions.DefinitionError, TypeError),
        (exceptions.UnknownJobFunction, LookupError),
        (exceptions.JobNotFound, LookupError),
        (exceptions.ResultTimeout, TimeoutError),
        (exceptions.PayloadTooLarge, ValueError),
        (exceptions.PayloadNotSerializable, TypeError),
    ],
)
def test_each_is_what_its_place_expects(
    error: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(error, builtin)


def test_every_error_says_when_it_is_raised() -> None:
    assert [n for n in exceptions.__all__ if not getattr(exceptions, n).__doc__] == []


def test_an_interrupt_passes_through_except_exception() -> None:
    assert not issubclass(exceptions.JobInterrupted, Exception)
    assert exceptions.JobInterrupted("cancel").reason == "cancel"


def test_a_failed_job_shows_its_attempt_and_traceback() -> None:
    error = exceptions.JobFailed("Job 12 failed", Attempt())

    assert error.attempt == Attempt()
    assert str(error) == "Job 12 failed\n\nTraceback…\nValueError: no\n"
    assert str(exceptions.JobFailed("Job 12 failed")) == "Job 12 failed"
    assert exceptions.JobFailed("Job 12 failed").traceback == ""


@pytest.mark.parametrize("again", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize(
    "error",
    [
        exceptions.JobFailed("Job 12 failed", Attempt()),
        exceptions.EnqueueError("Refused", ("12",)),
        exceptions.NotDurable("On no disk", ("12",)),
        exceptions.SchemaMismatch("9", "1 to 3"),
        exceptions.JobInterrupted("cancel"),
        exceptions.UnknownQueue("There is no queue 'hihg'"),
    ],
)
def test_errors_survive_copying(
    error: BaseException, again: Callable[[BaseException], BaseException]
) -> None:
    same = again(error)

    assert type(same) is type(error)
    assert str(same) == str(error)
    assert vars(same) == vars(error)
