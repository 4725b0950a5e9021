"""A checker that cannot fail proves nothing: it catches each broken variant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import broken
from tests.faults.experiments import (
    HOUR,
    TRUSTING,
    freeze_beyond_lease,
    kill_a_child,
    lose_answers,
    race_of_rescuers,
    wake_by_a_job,
    wrong_clock,
)
from tests.faults.harness import Site
from tests.faults.proxy import Proxy

Open = Callable[..., Site]


def caught(complaints: list[str], text: str) -> bool:
    print(complaints)  # noqa: T201 - what gave it away
    return any(text in line for line in complaints)


@pytest.mark.slow
def test_no_rescue(open_site: Open) -> None:
    site = open_site(broken="no-rescue", lease=1.0)

    assert caught(kill_a_child(site, limit=6), "never ended: lost")


def test_early_ack(open_site: Open) -> None:
    site = open_site(broken="early-ack")

    assert caught(kill_a_child(site), "never ended: lost")


@pytest.mark.slow
def test_no_fence(open_site: Open) -> None:
    site = open_site(broken="no-fence")

    assert caught(freeze_beyond_lease(site, TRUSTING), "a late worker was believed")


@pytest.mark.slow
def test_local_clock_ahead(open_site: Open) -> None:
    site = open_site(broken="local-clock")

    complaints = wrong_clock(site, HOUR, limit=20)

    assert caught(complaints, "half an hour") or caught(complaints, "ran again")


@pytest.mark.slow
def test_local_clock_behind(open_site: Open) -> None:
    site = open_site(broken="local-clock")

    # What ended by that clock ended longer ago than it is kept, to the other worker. On a
    # machine that is merely slow jobs end late, or not at all, and keep their records.
    assert caught(wrong_clock(site, -HOUR, limit=10), "has no record")


@pytest.mark.slow
def test_lost_wake_up(open_site: Open) -> None:
    site = open_site(broken="lost-wake-up")

    assert caught(wake_by_a_job(site, patience=4), "though a process was idle")


def test_racing_rescuers(site: Site) -> None:
    complaints = race_of_rescuers(site, broken.rescue_in_two_calls)

    assert caught(complaints, "ran again")


@pytest.mark.slow
def test_no_take_over(open_site: Open, proxy: Proxy) -> None:
    site = open_site(broken="no-take-over", lease=30.0)

    assert caught(lose_answers(site, proxy, limit=6), "never ended: lost")
