"""Processes that die between the commit and the sending cost no job, and none twice."""

from __future__ import annotations

import signal

import pytest

from tests.integration.outbox.site import Site

# Where a request dies; whether its data is there; whether its row stays.
POINTS = {
    "nowhere": (0, True, False),
    "before the commit": (-signal.SIGKILL, False, False),
    "before sending": (-signal.SIGKILL, True, True),
    "foreign hook": (1, True, True),
    "after sending": (-signal.SIGKILL, True, True),
    "after removing": (-signal.SIGKILL, True, False),
}


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_job_runs_once_if_and_only_if_its_data_is_there(site: Site) -> None:
    points = dict(enumerate(list(POINTS) * 2))

    statuses = site.commit(points)

    expected = {number: POINTS[point] for number, point in points.items()}
    assert statuses == {number: status for number, (status, _, _) in expected.items()}
    made = [number for number, (_, there, _) in expected.items() if there]
    assert site.made == made
    assert site.in_outbox == sum(stays for _, _, stays in expected.values())

    # What was sent runs, and is gone, before anybody looks into the outbox: the
    # grace of some rows may be over already, which changes nothing.
    site.start_worker()
    sent = [n for n, point in points.items() if point.startswith(("now", "after"))]
    site.wait(lambda: set(sent) <= set(site.ran))
    site.age()
    site.start_worker()

    site.wait(lambda: site.ran == made and not site.in_outbox)
    site.stop_workers()
    assert site.ran == made
