"""The server's clock decides: those of workers and producers may be off by an hour."""

from __future__ import annotations

import pytest

from tests.faults.experiments import HOUR, wrong_clock
from tests.faults.harness import Site

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("offset", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_worker_whose_clock_is_off_changes_nothing(site: Site, offset: int) -> None:
    assert not wrong_clock(site, offset)
