"""How numbers and times look on a terminal, and how they are read."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from django_redisjobs.management.operator import formats


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0404, "40 ms"),
        (1, "1.0 s"),
        (9.94, "9.9 s"),
        (59, "59 s"),
        (60, "1m"),
        (125, "2m 5s"),
        (3_600, "1h"),
        (3_660, "1h 1m"),
        (86_400, "1d"),
        (100_000, "1d 3h"),
        (31_536_000, "365d"),
    ],
)
def test_ages(seconds: float, text: str):
    assert formats.age(seconds) == text


@given(st.floats(0, 1e9))
def test_an_age_is_short(seconds: float):
    assert len(formats.age(seconds)) < 12


def test_ago_and_in():
    assert formats.ago(0, 5) == "-"
    assert formats.ago(1_000, 61_000) == "1m ago"
    assert formats.ago(61_000, 1_000) == "in 1m"


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "job", "1 job"),
        (0, "job", "0 jobs"),
        (2_000, "process", "2,000 processes"),
        (2, "crash", "2 crashes"),
    ],
)
def test_counted(count: int, noun: str, text: str):
    assert formats.counted(count, noun) == text


def test_times_are_the_projects_own():
    with override_settings(TIME_ZONE="Europe/Athens"):
        text = formats.clock(1_700_000_000_000)
        naive = formats.read_time("2030-01-31T18:00")

    assert text == "2023-11-15 00:13:20"
    assert naive == datetime(2030, 1, 31, 18, 0, tzinfo=ZoneInfo("Europe/Athens"))


@pytest.mark.parametrize("text", ["2030-01-31T18:00Z", "2030-01-31 19:00+01:00"])
def test_a_time_may_name_its_zone(text: str):
    assert formats.read_time(text) == datetime(2030, 1, 31, 18, 0, tzinfo=UTC)


def test_the_time_of_day_is_the_next_one():
    now = datetime.now(UTC)
    for hours in (-1, 1):
        at = now + timedelta(hours=hours)
        found = formats.read_time(f"{at:%H:%M}")
        assert now < found <= now + timedelta(days=1, minutes=1)
        assert f"{found:%H:%M}" == f"{at:%H:%M}"


@pytest.mark.parametrize("text", ["soon", "25:00", "2030-13-01T00:00", "", "2030"])
def test_what_is_no_time(text: str):
    with pytest.raises(ArgumentTypeError, match="is no time"):
        formats.read_time(text)


def test_a_moments_time_of_day_is_the_last_one():
    minute_ago = timezone.localtime() - timedelta(minutes=1)
    hour_on = timezone.localtime() + timedelta(hours=1)

    for when in (minute_ago, hour_on):
        found = datetime.now(UTC) - formats.read_moment(f"{when:%H:%M}")
        assert timedelta() <= found <= timedelta(days=1)
        assert f"{formats.read_moment(f'{when:%H:%M}'):%H:%M}" == f"{when:%H:%M}"


def test_a_moment_is_a_time_or_how_long_ago():
    ago = datetime.now(UTC) - formats.read_moment("1h")
    assert math.isclose(ago.total_seconds(), 3600, abs_tol=5)
    assert formats.read_moment("2030-01-31T18:00Z").year == 2030


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-1.5", -1.5),
        ("null", None),
        ('"5"', "5"),
        ('"[urgent] hello"', "[urgent] hello"),
        ("[1]", [1]),
        ("anna@example.com", "anna@example.com"),
        ("", ""),
        ("NaN", "NaN"),
    ],
)
def test_arguments_are_json_or_text(text: str, value: object):
    assert formats.read_json(text) == value


@pytest.mark.parametrize("text", ["[1", '{"a"}', '"5', "[NaN]"])
def test_broken_json_is_not_taken_for_text(text: str):
    with pytest.raises(ArgumentTypeError, match="is no JSON"):
        formats.read_json(text)


@given(st.text())
def test_what_jobs_wrote_does_not_steer_the_terminal(text: str):
    shown = formats.harmless(text)

    assert not any(
        (ord(each) < 32 and each not in "\t\n") or 127 <= ord(each) < 160
        for each in shown
    )
    assert "\n" not in formats.shortened(text, 20)
    assert len(formats.shortened("x" * 100, 20)) == 20
