"""Percentiles read from buckets: how near they are to the exact ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_redisjobs.monitoring.spreads import (
    BUCKETS,
    PERCENTILES,
    Spread,
    Timings,
    starts_ms,
)

WEEK_MS = 7 * 86_400_000


def spread_of(times_ms: Sequence[int]) -> Spread:
    """What scripts would have counted."""
    starts = [starts_ms(bucket) for bucket in range(BUCKETS)]
    packed = 0
    for time_ms in times_ms:
        bucket = max(place for place, start in enumerate(starts) if start <= time_ms)
        packed += 1 << 64 * (BUCKETS - 1 - bucket)
    return Spread(packed)


def exact_ms(times_ms: Sequence[int], percent: float) -> int:
    """By nearest rank."""
    return sorted(times_ms)[max(1, math.ceil(percent * len(times_ms) / 100)) - 1]


def close(found_s: float, exact: int) -> bool:
    return exact * 0.7 <= found_s * 1000 <= exact * 1.42


SAMPLES: list[Callable[[random.Random], float]] = [
    lambda chance: chance.lognormvariate(4, 1.5),
    lambda chance: chance.expovariate(1 / 20),
    lambda chance: chance.uniform(0, 300_000),
    lambda chance: chance.choice((0, 1, 4_096, 60_000)),
]


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("size", [1, 2, 99, 2_000])
def test_percentiles_of_samples(sample: Callable[[random.Random], float], size: int):
    chance = random.Random(size)
    times = [int(sample(chance)) for _ in range(size)]

    found = spread_of(times).percentiles()

    assert found is not None
    for percent, seconds in zip(PERCENTILES, found, strict=True):
        assert close(seconds, exact_ms(times, percent)), percent


@given(st.lists(st.integers(0, WEEK_MS), min_size=1, max_size=60), st.floats(0.1, 100))
def test_any_percentile_of_any_times(times: list[int], percent: float):
    found = spread_of(times).percentiles((percent,))

    assert found is not None
    assert close(found[0], exact_ms(times, percent))


def test_the_shortest_are_exact():
    for time_ms in range(4):
        assert (
            spread_of([time_ms] * 3).percentiles((1, 50, 100)) == (time_ms / 1000,) * 3
        )


def test_those_of_a_bucket_are_taken_to_lie_evenly_in_it():
    found = spread_of([1024, 1100, 1200, 1300, 1400]).percentiles((20, 60, 100))

    assert found is not None
    assert [round(seconds, 3) for seconds in found] == [1.066, 1.236, 1.406]


def test_nothing_has_no_percentiles():
    assert Spread().percentiles() is None
    assert Spread().total == 0
    assert Timings.read([]) == Timings() == Timings.read([b"", b""])


def test_spreads_are_added():
    some, others = [3, 5, 900], [5, 7_000]
    together = spread_of(some + others)

    assert Spread.added([spread_of(some), spread_of(others)]) == together
    assert together.total == 5


def test_how_many_took_less():
    assert spread_of([0, 1, 2, 3, 4, 60]).below([1, 2, 4, 64]) == [1, 2, 4, 6]


def stored(lanes: dict[int, int]) -> bytes:
    found = bytearray(4 * (max(lanes) + 1))
    for lane, count in lanes.items():
        found[4 * lane : 4 * lane + 4] = count.to_bytes(4)
    return bytes(found)


def test_what_is_stored_is_read_and_added():
    full = 2**32 - 1
    found = Timings.read([stored({0: 2, 3: full}), b"", stored({3: full, 126: 1})])

    assert found.wait.counts == (2, *[0] * 62, 1)
    assert found.run.counts == (0, 2 * full, *[0] * 62)
    assert Timings.total([found, found]).run.total == 4 * full
    assert Timings.total([]) == Timings()


def test_garbage_is_read_as_something():
    for raw in (b"x", b"\xff" * 5_000, b"-1"):
        found = Timings.read([raw] * 1_000)
        assert found.wait.percentiles() is None or found.wait.total > 0
