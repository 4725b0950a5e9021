from __future__ import annotations

import logging
from math import inf

import pytest

from django_redisjobs.exceptions import ServerUnavailable
from django_redisjobs.worker.trouble import SAY_AGAIN_SECONDS, Patience, Trouble


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def test_it_waits_longer_and_longer(clock):
    trouble = Trouble("W", "redis://r", longest=2.0)

    delays = [trouble.met(OSError("gone")) for _ in range(12)]

    assert 0.05 <= delays[0] <= 0.1
    assert 0.4 <= delays[3] <= 0.8
    assert all(1.0 <= delay <= 2.0 for delay in delays[5:])


def test_it_is_told_of_once_and_so_is_its_end(clock, caplog):
    caplog.set_level(logging.INFO, "redisjobs.worker")
    trouble = Trouble("W", "redis://r")

    for _ in range(5):
        trouble.met(OSError("gone"))
        clock.now += 1
    trouble.over()
    trouble.over()

    assert caplog.messages == [
        "W cannot use Redis at redis://r: OSError: gone. It keeps what it has and tries on.",
        "W is back on Redis at redis://r after 5.0 s.",
    ]
    assert trouble.met(OSError("gone")) <= 0.1


def test_trouble_that_lasts_is_told_of_again(clock, caplog):
    trouble = Trouble("W", "redis://r")

    for _ in range(int(2 * SAY_AGAIN_SECONDS) + 1):
        trouble.met(OSError("gone"))
        clock.now += 1

    assert len(caplog.messages) == 3


def test_trouble_that_comes_and_goes_fills_no_log(clock, caplog):
    caplog.set_level(logging.INFO, "redisjobs.worker")
    trouble = Trouble("W", "redis://r")

    for _ in range(int(SAY_AGAIN_SECONDS) + 1):
        trouble.met(OSError("gone"))
        clock.now += 0.5
        trouble.over()
        clock.now += 0.5

    first, second = "cannot use Redis", "is back on Redis"
    expected = [first, second, first, second]
    assert len(caplog.messages) == 4
    assert all(
        part in line for part, line in zip(expected, caplog.messages, strict=True)
    )


def test_patience_is_lost_once(caplog):
    patience = Patience("redis://r", 30)

    lost = [patience.loses(away) for away in (0, 29.9, 30.2, 31)]

    assert lost == [False, False, True, False]
    assert caplog.messages == [
        "Redis at redis://r has not answered for 30.2 s. The burst ends."
    ]
    with pytest.raises(ServerUnavailable, match=r"redis://r has not answered for 30.2"):
        patience.check()


def test_patience_without_an_end_is_not_lost():
    patience = Patience("redis://r", inf)

    assert not patience.loses(1e9)
    patience.check()
