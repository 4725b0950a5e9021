"""Where lines and bars are."""

from __future__ import annotations

import pytest

from django_redisjobs.admin.charts import RUNGS, Ladder


@pytest.mark.parametrize(
    ("times", "lowest", "highest"),
    [
        ([], 0.001, 0.01),
        ([0], 0.001, 0.01),
        ([0.0004, 0.5], 0.001, 1),
        ([0.001, 0.001], 0.001, 0.01),
        ([0.02, 0.03], 0.01, 0.1),
        ([0.1, 1], 0.1, 1),
        ([5, 61], 1, 600),
        ([1_000_000, 10**9], 86_400, 864_000),
    ],
)
def test_a_ladder_is_as_long_as_it_must_be(
    times: list[float], lowest: float, highest: float
):
    seconds = [rung for rung, _ in Ladder.over(times).rungs()]

    assert (seconds[-1], seconds[0]) == (lowest, highest)


def test_rungs_are_evenly_apart_and_the_longer_the_higher():
    ladder = Ladder.over([0.001, 1])

    assert [float(y) for _, y in ladder.rungs()] == pytest.approx(
        [0, 100 / 3, 200 / 3, 100], abs=0.01
    )
    shares = [ladder.share(ms / 1000) for ms in (0, 0.5, 1, 2, 10, 31.6, 500, 1000)]
    assert shares == sorted(shares)
    assert ladder.share(0.0316) == pytest.approx(0.5, abs=0.001)
    assert (ladder.share(0), ladder.share(99)) == (0, 1)


def test_every_rung_has_its_place():
    ladder = Ladder.over(RUNGS)

    assert [ladder.share(rung) for rung in RUNGS] == pytest.approx(
        [place / (len(RUNGS) - 1) for place in range(len(RUNGS))]
    )
