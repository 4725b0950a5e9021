from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from django_redisjobs.durations import parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0),
        (90, 90),
        (1.5, 1.5),
        (timedelta(minutes=2), 120),
        ("90", 90),
        ("90s", 90),
        ("1.5h", 5400),
        (" 5 m ", 300),
        ("1h", 3600),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("250ms", 0.25),
    ],
)
def test_a_duration_is_read_as_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "written",
    [
        -1,
        timedelta(seconds=-1),
        float("nan"),
        float("inf"),
        10**30,
        2**1024,
        -(2**1024),
        True,
        None,
        "",
        "soon",
        "-5s",
        "5 years",
        "٥s",
        "1e3",
        Decimal(5),
        [5],
    ],
)
def test_what_is_no_duration_is_refused_with_its_value(written: object) -> None:
    with pytest.raises(ValueError, match=r"duration") as caught:
        parse_duration(written)  # type: ignore[arg-type]

    assert repr(written) in str(caught.value)
