"""Inboxes that nobody empties."""

from __future__ import annotations

import selectors
from math import inf
from types import SimpleNamespace

import pytest

from django_redisjobs.worker import watch
from django_redisjobs.worker.inbox import Inbox, drain, open_pipe
from django_redisjobs.worker.watch import TICK_SECONDS, InboxWatch


class Child:
    """``started``: when each of its jobs has begun."""

    def __init__(self, now):
        self.inbox = open_pipe()
        self.started = [now]
        self.board = SimpleNamespace(running=self._running)

    def _running(self, first):
        return [SimpleNamespace(started=moment) for moment in self.started[:first]]

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
    made = Child(clock.seconds)
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
    for _ in range(3):
        clock.seconds += 2 * TICK_SECONDS
        child.started = [clock.seconds - TICK_SECONDS / 2]
        assert list(watched.tick()) == []


def test_whoever_has_a_place_free_is_left_alone(watched, child, clock):
    child.started = []
    for _ in range(3):
        clock.seconds += 2 * TICK_SECONDS
        assert list(watched.tick()) == []


def test_a_job_that_began_between_two_ticks_is_found_a_tick_after_it_began(
    watched, child, clock
):
    child.started = [began := clock.seconds + TICK_SECONDS * 0.9]
    clock.seconds = watched.next_at
    assert list(watched.tick()) == []

    assert watched.next_at == pytest.approx(began + TICK_SECONDS)
    clock.seconds = watched.next_at
    assert list(watched.tick()) == [(child, [8])]


def test_what_was_claimed_behind_long_jobs_has_a_tick_to_be_started(
    watched, child, clock
):
    child.started = [clock.seconds - 60]
    clock.seconds += TICK_SECONDS / 2
    assert list(watched.tick()) == []

    clock.seconds = watched.next_at
    assert list(watched.tick()) == [(child, [8])]


def test_an_empty_inbox_needs_no_ticks(watched, child, clock):
    drain(child.inbox[0])
    clock.seconds += 2 * TICK_SECONDS

    assert list(watched.tick()) == []
    assert watched.next_at == inf
