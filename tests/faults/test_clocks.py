"""The server's clock decides: those of workers and producers may be off by an hour."""

from __future__ import annotations

import pytest

from tests.faults.experiments import HOUR, clock_of, wrong_clock
from tests.faults.harness import Site

pytestmark = pytest.mark.slow
off = pytest.mark.parametrize("offset", [HOUR, -HOUR], ids=["ahead", "behind"])


@off
def test_a_worker_whose_clock_is_off_changes_nothing(site: Site, offset: int) -> None:
    assert not wrong_clock(site, offset)


@off
def test_a_producer_whose_clock_is_off_changes_nothing(site: Site, offset: int) -> None:
    numbers = site.produce(1, delay=0.5, **clock_of(offset))

    assert numbers == set(site.adopt())
    for record in site.records().values():
        assert record.due_ms - record.enqueued_ms == 500
    site.start_worker("--processes", "1")
    assert not site.complaints()
