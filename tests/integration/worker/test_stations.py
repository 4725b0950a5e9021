"""What ends while an exchange is under way goes with the next one, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from django_redisjobs import JobStatus
from django_redisjobs.core.consumer import Exchange
from django_redisjobs.core.settlements import Claimed, Settlement
from django_redisjobs.worker.stations import Station
from tests.integration.worker import jobs
from tests.integration.worker.conftest import break_the_connection, new_station

pytestmark = pytest.mark.usefixtures("redisjobs")


@pytest.fixture
def station() -> Iterator[Station]:
    made = new_station("ahead")
    yield made
    made.land()
    made.abandon()


def first_of(exchange: Exchange | None) -> Claimed:
    assert exchange is not None
    (job,) = exchange.jobs
    return job


def ended(job: Claimed) -> Settlement:
    return Settlement("succeeded", job, function="f", started_ms=1, finished_ms=1)


def test_what_ended_goes_with_what_is_sent_ahead(station: Station) -> None:
    handles = jobs.add.delay_many([(1, 1)] * 3)
    job = first_of(station.exchange(want=1, fresh=False, ahead=lambda _came: 1))
    station.outcomes.append(ended(job))

    second = first_of(station.land(lambda _came: 1))
    station.outcomes.append(ended(second))
    first_of(station.land())

    assert [handle.status() for handle in handles] == [
        JobStatus.SUCCEEDED,
        JobStatus.RUNNING,
        JobStatus.RUNNING,
    ]
    assert [each.job for each in station.outcomes] == [second]


def test_it_waits_where_nothing_is_sent_ahead(station: Station) -> None:
    handles = jobs.add.delay_many([(1, 1)] * 2)
    job = first_of(station.exchange(want=1, fresh=False, ahead=lambda _came: 5))
    station.outcomes.append(ended(job))

    first_of(station.land(lambda _came: 5))
    assert handles[0].status() is JobStatus.RUNNING
    assert station.exchange(want=0, fresh=False).refused == ()

    assert handles[0].status() is JobStatus.SUCCEEDED
    assert station.land() is None


def test_what_was_under_way_is_said_again_before_what_came_after(
    station: Station,
) -> None:
    handles = jobs.add.delay_many([(1, 1)] * 3)
    job = first_of(station.exchange(want=1, fresh=False, ahead=lambda _came: 1))
    station.outcomes.append(ended(job))
    second = first_of(station.land(lambda _came: 1))
    station.outcomes.append(ended(second))
    break_the_connection()

    with pytest.raises(redis.ConnectionError):
        station.land(lambda _came: 1)

    assert [each.job for each in station.outcomes] == [job, second]
    # The server may have heard of the first: nobody is told that it came too late.
    last = station.exchange(want=0, fresh=False)
    assert last.refused == ()
    assert [handle.status() for handle in handles[:2]] == [JobStatus.SUCCEEDED] * 2
    # What that call claimed is found.
    assert len(last.jobs) == 1


def test_an_exchange_lets_that_under_way_land_first(station: Station) -> None:
    jobs.add.delay_many([(1, 1)] * 3)
    first_of(station.exchange(want=1, fresh=False, ahead=lambda _came: 1))

    assert first_of(station.exchange(want=1, fresh=False)).token == "ahead:3:0"
    assert first_of(station.land()).token == "ahead:2:0"
