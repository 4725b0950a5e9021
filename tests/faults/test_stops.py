"""SIGTERM at the worst moments: the worker ends in good order, no job is lost, and none
runs twice unless its grace was too short for it.
"""

from __future__ import annotations

import random
import time

import pytest

from tests.faults.harness import Site


def test_while_idle(site: Site) -> None:
    worker = site.start_worker("--processes", "2")
    site.wait_registered(2)
    before = time.monotonic()

    worker.terminate()

    assert site.wait_exit(worker) == 0
    # Nobody waits for a sleep to end, nor for a grace that nobody needs.
    assert time.monotonic() - before < 20
    assert not site.flaws()


def test_in_the_middle_of_a_job(site: Site) -> None:
    """It finishes; what waited behind it goes back, and runs elsewhere once."""
    worker = site.start_worker("--processes", "1")
    first, *_ = site.add([1.0], [0.0], [0.0])
    site.wait_started(first)

    worker.terminate()

    assert site.wait_exit(worker) == 0
    site.start_worker("--processes", "1")
    assert not site.complaints()
    assert site.history().reruns == 0


def race_a_push(site: Site, rng: random.Random) -> None:
    """A worker is told to stop just when jobs arrive on several queues."""
    worker = site.start_worker("--processes", "1")
    site.wait_registered(1)
    push_first = rng.random() < 0.5
    if not push_first:
        worker.terminate()
    site.pause(rng.uniform(0.0, 0.02))
    for queue in ("high", "default", "low"):
        site.add([0.005], queue=queue)
    site.pause(rng.uniform(0.0, 0.02))
    if push_first:
        worker.terminate()
    assert site.wait_exit(worker) == 0
    assert not site.doctor()


def race_pushes(site: Site, rng: random.Random, times: int) -> None:
    for _ in range(times):
        race_a_push(site, rng)

    site.start_worker("--processes", "1")
    assert not site.complaints()
    assert site.history().reruns == 0


def test_racing_a_push(site: Site) -> None:
    race_pushes(site, random.Random(4), 2)


@pytest.mark.slow
def test_racing_a_push_again_and_again(site: Site, rng: random.Random) -> None:
    race_pushes(site, rng, 15)


@pytest.mark.slow
def test_a_grace_shorter_than_the_job(site: Site) -> None:
    """It is interrupted, and the first thing that another worker runs."""
    worker = site.start_worker("--processes", "1", "--grace", "0.2")
    (number, behind) = site.add([3.0], [0.0])
    run = site.wait_started(number)
    site.will_interrupt(run)

    worker.terminate()

    assert site.wait_exit(worker) == 0
    site.start_worker("--processes", "1")
    assert not site.complaints()
    again = site.history().runs_of(number)[1]
    assert again.started < site.history().runs_of(behind)[0].started
    assert (site.record(number).crashes, site.record(number).attempts_made) == (0, 1)


@pytest.mark.slow
def test_twice(site: Site) -> None:
    """The second signal ends the patience."""
    worker = site.start_worker("--processes", "1")
    (number,) = site.add([6.0])
    run = site.wait_started(number)
    site.will_interrupt(run)
    worker.terminate()
    # The same request within a second counts once.
    site.pause(1.2)

    worker.terminate()

    assert site.wait_exit(worker) == 0
    assert site.history().runs_of(number)[0].ended is None
    site.start_worker("--processes", "1")
    assert not site.complaints()


@pytest.mark.slow
def test_killed_before_the_grace_is_over(site: Site) -> None:
    """As an orchestrator does that has less patience than the worker."""
    worker = site.start_worker("--processes", "1")
    (number,) = site.add([2.0])
    site.wait_started(number)
    worker.terminate()
    site.pause(0.3)

    site.kill_everything()

    site.start_worker("--processes", "1")
    assert not site.complaints()
