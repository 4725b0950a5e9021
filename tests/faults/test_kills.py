"""kill -9 of any process at any moment: nothing is lost, every rerun is explained."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from tests.faults.experiments import kill_someone
from tests.faults.harness import ROOT, Site


def kill_again_and_again(site: Site, rng: random.Random, kills: int) -> None:
    """Keeps two workers of two processes running."""
    for _ in range(kills):
        while len(site.running) < 2:
            site.start_worker("--processes", "2")
        # Only a kill in the midst of work proves anything.
        site.wait_progress(20)
        site.pause(rng.uniform(0.0, 0.3))
        kill_someone(site, rng)
    while len(site.running) < 2:
        site.start_worker("--processes", "2")


def test_a_few_kills(site: Site) -> None:
    """The short form: one of each kind."""
    rng = random.Random(4)
    site.add_mixed(300, rng)
    kill_again_and_again(site, rng, kills=4)

    assert not site.complaints()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_kills_lose_nothing_and_explain_every_rerun(
    site: Site, rng: random.Random
) -> None:
    site.add_mixed(2_000, rng)
    kill_again_and_again(site, rng, kills=20)

    assert not site.complaints(limit=200)
    doctor = [sys.executable, "-m", "django", "redisjobs", "doctor"]
    subprocess.run(doctor, cwd=ROOT, env=site.surroundings(), check=True)


def test_kills_round_due_times(site: Site) -> None:
    """Nothing that is not due is ever in a worker's memory."""
    kill_when_due(site, random.Random(4), seconds=1)


@pytest.mark.slow
def test_more_kills_round_due_times(site: Site, rng: random.Random) -> None:
    kill_when_due(site, rng, seconds=6)


def kill_when_due(site: Site, rng: random.Random, seconds: int) -> None:
    """Ten jobs become due each half second, and then somebody dies."""
    for _ in range(2):
        site.start_worker("--processes", "1")
    site.wait_registered(2)
    begin = time.monotonic() + 0.5
    dues = [begin + half / 2 for half in range(2 * seconds)]
    for due in dues:
        delay_ms = round((due - time.monotonic()) * 1000)
        site.add(*[[0.01]] * 10, delay_ms=max(1, delay_ms))
    for due in dues:
        site.pause(max(0.0, due - time.monotonic() + rng.uniform(-0.1, 0.1)))
        if site.running:
            kill_someone(site, rng)
        while len(site.running) < 2:
            site.start_worker("--processes", "1")

    assert not site.complaints()
