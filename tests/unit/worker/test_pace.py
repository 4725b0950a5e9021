from __future__ import annotations

from math import inf

import pytest

from django_redisjobs.worker.pace import LARGEST_BATCH, Pace


def test_it_starts_with_one():
    assert Pace().batch == 1


def test_it_learns_that_jobs_are_quick():
    pace = Pace()

    for _ in range(10):
        pace.learn(pace.batch * 10e-6, pace.batch)

    assert pace.batch == LARGEST_BATCH


def test_a_slow_job_takes_it_back_to_one_at_once():
    pace = Pace()
    for _ in range(10):
        pace.learn(10e-6, 1)

    pace.slow()

    assert pace.batch == 1


def test_a_batch_is_about_ten_milliseconds():
    pace = Pace()
    for _ in range(30):
        pace.learn(0.001, 1)

    assert 9 <= pace.batch <= 10


def test_nothing_run_teaches_nothing():
    pace = Pace()
    pace.learn(5.0, 0)

    assert pace.batch == 1


def test_it_claims_ahead_only_while_that_is_still_little_work():
    pace = Pace()
    assert not pace.runs_ahead

    for _ in range(30):
        pace.learn(0.000_1, 1)
    assert (pace.batch, pace.runs_ahead) == (LARGEST_BATCH, False)

    for _ in range(30):
        pace.learn(0.000_05, 1)
    assert pace.runs_ahead

    pace.slow()
    assert not pace.runs_ahead


def test_it_foresees_when_a_job_ends():
    pace = Pace()
    assert pace.ends_at(100.0) == inf

    for _ in range(30):
        pace.slow()
        pace.learn(0.05, 1)
    assert pace.ends_at(100.0) == pytest.approx(100.05)
