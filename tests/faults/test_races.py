"""Many at once: each job once, whoever wakes, claims or rescues."""

from __future__ import annotations

from tests.faults.experiments import (
    race_of_rescuers,
    race_of_workers,
    wake_by_a_job,
)
from tests.faults.harness import Site


def test_who_sleeps_is_woken_by_new_work(site: Site) -> None:
    assert not wake_by_a_job(site)


def test_ten_rescuers_bring_back_everything_once(site: Site) -> None:
    assert not race_of_rescuers(site)


def test_fifty_workers_claim_five_thousand_jobs_once(site: Site) -> None:
    assert not race_of_workers(site)
