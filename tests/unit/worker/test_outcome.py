"""What an ended attempt leads to, for every kind of end."""

from __future__ import annotations

from random import Random

import pytest

from django_redisjobs.exceptions import (
    JobInterrupted,
    JobTimeout,
    MissingInstance,
    PayloadMalformed,
    UnknownJobFunction,
)
from django_redisjobs.retries import Retry
from django_redisjobs.worker.outcome import (
    CANCEL,
    MESSAGE_LIMIT,
    SHUTDOWN,
    TIMEOUT,
    ArgumentsRefused,
    describe,
    judge,
    shorten,
)

RETRY = Retry(max=2, base=10, jitter=False, give_up_on=(KeyError,))


def verdict(error, retries_made=0, retry=RETRY, **more):
    found = judge(error, retries_made=retries_made, retry=retry, rng=Random(1), **more)
    return found.kind, found.word, found.delay_seconds


@pytest.mark.parametrize(
    ("retries_made", "expected"),
    [
        (0, ("retry", "failed", 10)),
        (1, ("retry", "failed", 20)),
        (2, ("failed", "failed", 0)),
    ],
)
def test_an_error_is_retried_as_often_as_the_policy_says(retries_made, expected):
    assert verdict(ValueError(), retries_made) == expected


@pytest.mark.parametrize(
    "error",
    [
        KeyError(),
        SystemExit(0),
        KeyboardInterrupt(),
        GeneratorExit(),
        PayloadMalformed("x"),
        MissingInstance("x"),
    ],
)
def test_what_cannot_be_helped_fails_at_once(error):
    assert verdict(error) == ("failed", "failed", 0)


def test_what_would_end_the_same_way_again_fails_at_once():
    assert verdict(ValueError(), final=True) == ("failed", "failed", 0)


def test_a_timeout_is_retried_like_any_error():
    assert verdict(JobTimeout(), interrupted=TIMEOUT) == ("retry", "timeout", 10)
    assert verdict(JobTimeout(), 2, interrupted=TIMEOUT) == ("failed", "timeout", 0)


def test_a_timeout_in_a_group_is_a_timeout():
    group = BaseExceptionGroup(
        "tasks", [ValueError(), ExceptionGroup("", [JobTimeout()])]
    )

    assert verdict(group, retry=Retry(max=0)) == ("failed", "timeout", 0)


def test_what_a_job_raises_instead_of_its_timeout_is_a_failure():
    assert verdict(ValueError(), 2, interrupted=TIMEOUT) == ("failed", "failed", 0)


@pytest.mark.parametrize("error", [JobInterrupted(CANCEL), ValueError()])
def test_a_cancelled_job_is_cancelled_however_it_ends(error):
    assert verdict(error, interrupted=CANCEL) == ("cancelled", "cancelled", 0)


def test_a_shutdown_gives_the_job_back():
    stopped = JobInterrupted(SHUTDOWN)

    assert verdict(stopped, interrupted=SHUTDOWN) == ("released", "", 0)


def test_a_job_that_fails_during_a_shutdown_has_failed():
    assert verdict(ValueError(), 2, interrupted=SHUTDOWN) == ("failed", "failed", 0)


def test_an_interrupt_that_a_job_raises_itself_fails_it():
    assert verdict(JobInterrupted(SHUTDOWN)) == ("failed", "failed", 0)


@pytest.mark.parametrize(
    "error", [UnknownJobFunction("shop.jobs.new"), ArgumentsRefused("two")]
)
def test_what_another_build_may_know_is_parked(error):
    assert verdict(error) == ("parked", "", 0)


@pytest.mark.parametrize(
    "kind", [UnknownJobFunction, PayloadMalformed, MissingInstance]
)
def test_what_the_function_raises_is_its_own(kind):
    found = verdict(kind("another"), called=True, discard_missing=True)

    assert found == ("retry", "failed", 10)


def test_a_missing_row_may_discard_the_job():
    error = MissingInstance("x")

    assert verdict(error, discard_missing=True) == ("cancelled", "cancelled", 0)


# Words


class Spiteful(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


def raised(error):
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001
        return caught


def test_an_exception_is_described_by_class_message_and_place():
    what = describe(raised(ValueError("no stock")))

    assert (what.exception_class, what.message) == ("ValueError", "no stock")
    assert what.line == "ValueError: no stock"
    assert "test_outcome.py" in what.traceback


def test_a_class_of_somebodys_has_its_module():
    assert describe(JobTimeout()).exception_class == (
        "django_redisjobs.exceptions.JobTimeout"
    )
    assert describe(JobTimeout(), "too long").line == "JobTimeout: too long"


def test_what_cannot_be_printed_is_described_all_the_same():
    what = describe(raised(Spiteful()))

    assert what.exception_class.endswith(".Spiteful")
    assert "SystemExit" in what.message
    assert "test_outcome.py" in what.traceback


def test_long_texts_lose_their_middle():
    what = describe(ValueError("a" * 10_000 + "end"))

    assert len(what.message) < MESSAGE_LIMIT + 100
    assert what.message.endswith("end")
    assert "characters left out" in what.message


def test_what_utf_8_cannot_carry_is_replaced():
    assert shorten("\ud800", 100) == "\\ud800"
