"""Workers that are stopped, or whose jobs let nobody else in their process run."""

from __future__ import annotations

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
