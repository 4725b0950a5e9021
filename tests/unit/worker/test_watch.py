"""Inboxes that nobody empties."""

from __future__ import annotations

import selectors
from types import SimpleNamespace

import pytest

from django_redisjobs.worker import watch
from django_redisjobs.worker.inbox import Inbox, drain, open_pipe
from django_redisjobs.worker.watch import TICK_SECONDS, InboxWatch


class Child:
    def __init__(self):
        self.inbox = open_pipe()
        self.codes = [7]
        self.board = SimpleNamespace(running=self._running)

    def _running(self):
        return [SimpleNamespace(slot=0, code=code) for code in self.codes]

    def steal(self):
        return drain(self.inbox[0])


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(watch, "monotonic", lambda: now.seconds)
    return now


@pytest.fixture
def watched():
    with selectors.DefaultSelector() as selector:
        yield InboxWatch(selector, 1)


@pytest.fixture
def child(watched, clock):
    made = Child()
    watched.begin(made)
    Inbox(made.inbox).put([(8, "job", "station")])
    watched.wake(made)
    return made


def test_whoever_does_the_same_for_a_tick_is_stuck(watched, child, clock):
    clock.seconds += 2 * TICK_SECONDS

    assert list(watched.tick()) == [(child, [8])]


def test_a_tick_takes_its_time_whatever_else_wakes_the_supervisor(
    watched, child, clock
):
    for _ in range(5):
        clock.seconds += TICK_SECONDS / 10
        assert list(watched.tick()) == []


def test_whoever_goes_on_is_left_alone(watched, child, clock):
    for code in (8, 9, 10):
        child.codes = [code]
        clock.seconds += 2 * TICK_SECONDS
        assert list(watched.tick()) == []


def test_an_empty_inbox_needs_no_ticks(watched, child, clock):
    drain(child.inbox[0])
    clock.seconds += 2 * TICK_SECONDS

    assert list(watched.tick()) == []
    assert not watched.ticking
