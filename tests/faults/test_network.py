"""The way to Redis fails, while Redis and the workers are well."""

from __future__ import annotations

import random
from collections.abc import Callable

import psutil
import pytest

from tests.faults.experiments import lose_answers
from tests.faults.harness import Site
from tests.faults.proxy import HANG_UP, Message, Proxy

Open = Callable[..., Site]


@pytest.fixture
def patient_site(open_site: Open, proxy: Proxy) -> Site:
    """Its leases outlast every fault: the checker takes any second run for an error.
    Who is not answered for a second gives up that connection.
    """
    return open_site(lease=30.0, url=proxy.url, environment={"FAULTS_TIMEOUT": "1"})


def begin(site: Site, jobs: int = 150) -> None:
    site.add(*[[0.02]] * jobs)
    site.start_worker("--processes", "2")
    site.wait_progress(20)


def test_answers_are_lost(patient_site: Site, proxy: Proxy) -> None:
    """Steps ran, and nobody was told what they claimed: it is taken over."""
    assert not lose_answers(patient_site, proxy)


@pytest.mark.slow
def test_messages_and_answers_are_lost_at_random(
    patient_site: Site, proxy: Proxy, rng: random.Random
) -> None:
    def lose(_: Message) -> bytes | None:
        return HANG_UP if rng.random() < 0.1 else None

    begin(patient_site, jobs=400)

    proxy.before = lose
    proxy.after = lambda _: rng.random() > 0.1
    patient_site.wait_progress(300)
    proxy.calm()

    assert not patient_site.complaints()


@pytest.mark.slow
def test_all_connections_break_again_and_again(
    patient_site: Site, proxy: Proxy, rng: random.Random
) -> None:
    begin(patient_site)

    for _ in range(10):
        proxy.cut()
        patient_site.pause(rng.uniform(0.0, 0.2))

    assert not patient_site.complaints()


@pytest.mark.slow
def test_connections_go_silent(patient_site: Site, proxy: Proxy) -> None:
    """Half-open: nobody is told that they are gone. New ones are whole."""
    begin(patient_site)

    proxy.silence()
    patient_site.wait_progress(60)

    assert not patient_site.complaints()


@pytest.mark.slow
def test_sleepers_whose_connections_go_silent_hear_of_new_work(
    patient_site: Site, proxy: Proxy
) -> None:
    begin(patient_site, jobs=20)
    patient_site.wait_ended()

    proxy.silence()
    patient_site.add(*[[0.01]] * 10)

    assert not patient_site.complaints()


@pytest.mark.slow
def test_nothing_passes_for_less_than_a_lease(patient_site: Site, proxy: Proxy) -> None:
    begin(patient_site)

    with proxy.partition():
        patient_site.pause(4.0)

    assert not patient_site.complaints()


@pytest.mark.slow
def test_nothing_passes_for_longer_than_a_lease(site: Site, proxy: Proxy) -> None:
    """The job runs elsewhere meanwhile, and the late result changes nothing."""
    cut_off = site.start_worker("--processes", "1", url=proxy.url, FAULTS_TIMEOUT="1")
    (number,) = site.add([2 * site.lease])
    pid = site.wait_started(number).pid

    with site.cut_off(cut_off), proxy.partition():
        site.start_worker("--processes", "1")
        site.wait_started(number, run=2)
        site.until(
            lambda: (
                not psutil.pid_exists(pid) or site.history().runs_of(number)[0].ended
            ),
            "the late run has ended",
        )
        site.wait_ended()
    # It goes on as if nothing had been.
    site.wait_registered(2)
    site.add(*[[0.05]] * 30)

    assert not site.complaints()


@pytest.mark.slow
def test_the_way_is_slow(patient_site: Site, proxy: Proxy) -> None:
    proxy.latency = 0.05
    begin(patient_site)

    assert not patient_site.complaints()
