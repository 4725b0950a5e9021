from __future__ import annotations

import json
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_redisjobs.core.exceptions import PayloadMalformed
from django_redisjobs.retries import Retry

RNG = Random(1)


def test_the_delay_doubles_up_to_the_cap() -> None:
    retry = Retry(max=9, base=2, cap=30, jitter=False)

    delays = [retry.delay_seconds(n, RNG) for n in range(1, 7)]

    assert delays == [2, 4, 8, 16, 30, 30]


def test_constant_backoff_waits_the_same_each_time() -> None:
    retry = Retry(backoff="constant", base="5s", jitter=False)

    assert [retry.delay_seconds(n, RNG) for n in (1, 2, 50)] == [5, 5, 5]


@given(n=st.integers(1, 10**6), seed=st.integers())
def test_jitter_draws_from_half_to_all_of_the_delay(n: int, seed: int) -> None:
    whole = Retry(base=3, cap=100, jitter=False).delay_seconds(n, RNG)

    delay = Retry(base=3, cap=100).delay_seconds(n, Random(seed))

    assert whole / 2 <= delay <= whole


def test_jitter_spreads_jobs_that_failed_together() -> None:
    rng = Random(7)

    delays = {Retry().delay_seconds(3, rng) for _ in range(100)}

    assert len(delays) == 100
    assert max(delays) - min(delays) > 3


def test_max_counts_retries_not_runs() -> None:
    retry = Retry(max=2)

    assert [retry.allows(ValueError(), made) for made in range(4)] == [
        True,
        True,
        False,
        False,
    ]


def test_only_listed_exceptions_are_retried_and_give_up_on_wins() -> None:
    retry = Retry(on=OSError, give_up_on=(FileNotFoundError,))

    assert retry.allows(ConnectionResetError(), 0)
    assert not retry.allows(ValueError(), 0)
    assert not retry.allows(FileNotFoundError(), 0)


def test_what_is_no_exception_is_not_retried_by_default() -> None:
    assert not Retry().allows(SystemExit(), 0)
    assert Retry(on=BaseException).allows(SystemExit(), 0)


def test_of_takes_a_number_a_policy_or_none() -> None:
    policy = Retry(max=7, cap="1h")

    assert Retry.of(5) == Retry(max=5)
    assert Retry.of(policy) is policy
    assert Retry.of(None) == Retry.of(0) == Retry(max=0)


def test_durations_are_kept_as_seconds() -> None:
    assert Retry(base="2s", cap=timedelta(minutes=10)) == Retry(base=2, cap=600)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max": -1},
        {"max": 1.5},
        {"max": True},
        {"max": "3"},
        {"backoff": "fibonacci"},
        {"base": -1},
        {"base": "soon"},
        {"cap": float("nan")},
        {"jitter": 1},
        {"on": "OSError"},
        {"on": (OSError, 5)},
        {"on": [OSError]},
        {"give_up_on": int},
        {"give_up_on": ValueError()},
    ],
)
def test_a_wrong_value_is_refused_with_its_name(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Retry(**wrong)

    assert next(iter(wrong)) in str(caught.value)


@pytest.mark.parametrize("wrong", [True, "3", 1.0, -1, [3]])
def test_of_refuses_what_is_no_policy(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="retry"):
        Retry.of(wrong)


def test_json_round_trip_keeps_everything_but_exception_classes() -> None:
    given = Retry(max=9, backoff="constant", base=1.5, cap="1h", jitter=False)
    defined = Retry(on=OSError, give_up_on=FileNotFoundError)

    read = Retry.from_json(json.loads(json.dumps(given.to_json())), like=defined)

    assert read.to_json() == given.to_json()
    assert (read.on, read.give_up_on) == ((OSError,), (FileNotFoundError,))


def test_json_of_the_defaults_is_empty() -> None:
    assert Retry().to_json() == {}
    assert Retry.from_json({}) == Retry()


@pytest.mark.parametrize(
    "stored", [{"max": "x"}, {"on": ["OSError"]}, {"max": None}, [], "x", 5, None]
)
def test_json_that_is_no_policy_is_malformed(stored: Any) -> None:
    with pytest.raises(PayloadMalformed, match="retry policy"):
        Retry.from_json(stored)
