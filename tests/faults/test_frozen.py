"""Workers that are stopped, or whose jobs let nobody else in their process run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.experiments import TRUSTING, freeze_beyond_lease
from tests.faults.harness import Site

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("patches", ["", TRUSTING], ids=["wary", "trusting"])
def test_the_late_result_of_a_stopped_worker_changes_nothing(
    site: Site, patches: str
) -> None:
    assert not freeze_beyond_lease(site, patches)


@pytest.mark.parametrize("function", ["hold", "block"])
def test_a_job_that_lets_nobody_else_run_keeps_its_lease(
    site: Site, function: str
) -> None:
    """The interpreter held, or the event loop blocked, for more than two leases."""
    site.start_worker("--processes", "1")
    site.start_worker("--processes", "1")
    site.wait_registered(2)
    site.add([3 * site.lease], function=function)

    assert not site.complaints()


def test_what_talks_to_redis_and_hangs_is_replaced(
    open_site: Callable[..., Site],
) -> None:
    limits = (
        *("waiting.LONGEST_SECONDS=1", "beats.LONGEST_INTERVAL_SECONDS=1"),
        "liaison.TURN_SECONDS=3",
    )
    patches = " ".join(f"django_redisjobs.worker.{each}" for each in limits)
    site = open_site(lease=30.0, environment={"FAULTS_PATCHES": patches})
    worker = site.start_worker("--processes", "1")
    (number,) = site.add([6.0])
    site.wait_started(number)

    site.liaison(worker).suspend()
    site.until(lambda: "A new one takes over" in site.log(), "there is another one")

    assert "talks to Redis ended: it hung and was killed" in site.log()
    assert not site.complaints()
