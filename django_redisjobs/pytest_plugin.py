"""Fixtures for pytest, which finds them by itself where the package is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django_redisjobs.testing import CapturedJobs


@pytest.fixture
def captured_jobs() -> Iterator[CapturedJobs]:
    """What the test enqueues: nothing is sent, and no server is needed.

    ``captured_jobs.run()`` runs it.
    """
    # Not at the top: plugins are loaded before Django has settings.
    from django_redisjobs import testing

    with testing.captured_jobs() as captured:
        yield captured
