"""Waiting for a bell, or for a time."""

from __future__ import annotations

from time import monotonic

import pytest

from django_redisjobs.worker import bells
from django_redisjobs.worker.bells import Bell, poll_exactly

_Asked = list[float | None]


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> _Asked:
    """For how long the kernel was asked to wait."""
    found: _Asked = []
    poll = bells.poll

    def listening(descriptors: list[int], seconds: float | None) -> set[int]:
        found.append(seconds)
        return poll(descriptors, seconds)

    monkeypatch.setattr(bells, "poll", listening)
    return found


def test_the_last_of_a_long_wait_is_waited_anew(bell: Bell, asked: _Asked) -> None:
    begun = monotonic()

    assert poll_exactly([bell.fileno()], 0.3) == set()

    assert monotonic() - begun >= 0.3
    almost, rest = asked
    assert almost is not None
    assert rest is not None
    assert 0.29 < almost < 0.3
    assert rest <= 0.3 - almost


def test_who_is_rung_for_waits_no_longer(bell: Bell, asked: _Asked) -> None:
    bell.ring()

    assert poll_exactly([bell.fileno()], 60) == {bell.fileno()}

    assert len(asked) == 1
