from __future__ import annotations

import pytest

from django_redisjobs.worker.logs import duration, listed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00004, "0.0 ms"),
        (0.0021, "2.1 ms"),
        (0.0123, "12 ms"),
        (0.25, "0.2 s"),
        (4, "4 s"),
        (4.56, "4.6 s"),
        (60, "1 min"),
        (125.2, "2 min 5 s"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
    ],
)
def test_durations_as_people_say_them(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, ""),
        (2, "0, 1"),
        (10, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        (311, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 301 more"),
    ],
)
def test_a_line_lists_ten_ids(number, text):
    assert listed([str(each) for each in range(number)]) == text
