"""One reading of all queues: right, and in few round trips."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.test import override_settings

from django_redisjobs import conf
from django_redisjobs.core.failures import newest_failures
from django_redisjobs.core.records import AttemptRecord, QueueCounts
from django_redisjobs.monitoring.periods import Period
from django_redisjobs.monitoring.reading import take, take_day, take_overview
from tests.integration.core.store import Store


@pytest.fixture
def store(client: redis.Redis, redisjobs: dict[str, Any]) -> Store:
    return Store(client, conf.keys_for("default"))


def end(store: Store, queue: str, kind: str, **more: Any) -> str:
    """A job that was run for a second; its id."""
    (job_id,) = store.add(queue, body=more.pop("body", '["shop.jobs.send",[1],{}]'))
    worker = store.worker(queue, name=more.pop("name", ""))
    (job,) = worker.claim()
    worker.settle(job, kind=kind, finished_ms=job.claimed_ms + 1000, **more)
    store.rescue(worker)
    return job_id


def failed(function: str, reason: str, message: str = "no") -> dict[str, Any]:
    attempt = AttemptRecord(1, 1, "w", 1, 2, "failed", reason, message, "…" * 5000)
    return {
        "body": f'["{function}",["{"x" * 5000}"],{{}}]',
        "attempt": attempt.to_json(),
    }


def fill(store: Store) -> None:
    for queue in ("high", "default", "low"):
        store.add(queue, 30)
        store.add(queue, 5, delay_ms=60_000)
        end(store, "elsewhere", "failed")
        store.worker(queue).claim(3)


@pytest.mark.parametrize("period", Period)
def test_an_overview_costs_at_most_five_round_trips(
    store: Store, trips: list[int], period: Period
):
    fill(store)
    trips.clear()

    take_overview(period)

    assert len(trips) <= 5


def test_other_readings_cost_no_more(store: Store, trips: list[int]):
    fill(store)
    trips.clear()

    take()
    assert len(trips) <= 5
    trips.clear()
    take_day()
    assert len(trips) <= 5


def test_queues_of_several_groups_travel_together(
    store: Store, redisjobs: dict[str, Any], trips: list[int]
):
    groups = {"QUEUES": {"a": {}, "b": {"GROUP": "other"}, "c": {"GROUP": "third"}}}

    with override_settings(REDISJOBS={**redisjobs, **groups}):
        for queue in "abc":
            there = Store(store.client, conf.keys_for(queue))
            end(there, queue, "succeeded")
            there.worker(queue, name="of-all")
        trips.clear()
        overview = take_overview(Period.HOUR)

    assert len(trips) <= 5
    assert [view.counts.succeeded for view in overview.snapshot.queues] == [1, 1, 1]
    assert [worker.id for worker in overview.snapshot.workers] == ["of-all"]
    assert overview.history.functions["shop.jobs.send"].succeeded == 3


@pytest.fixture
def moved(store: Store, redisjobs: dict[str, Any]) -> Iterator[Store]:
    """Where ``low`` is since its GROUP was changed: 2 have ended in each of its groups,
    and of those that wait one is in the old one.
    """
    for kind in ("succeeded", "failed"):
        end(store, "low", kind)
    store.add("low")
    store.pause("low", reason="before it was moved")
    queues = {"high": {}, "low": {"GROUP": "bulk"}, "default": {}}
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        there = Store(store.client, conf.keys_for("low"))
        end(there, "low", "succeeded")
        end(there, "low", "succeeded")
        there.add("low", 2)
        yield there


@pytest.mark.usefixtures("moved")
def test_a_queue_that_has_moved_is_one(trips: list[int]):
    overview = take_overview(Period.HOUR)

    assert len(trips) <= 5
    high, low, default = overview.snapshot.queues
    assert (high.counts.queue, default.counts.queue) == ("high", "default")
    assert low.counts == QueueCounts("low", pending=3, succeeded=3, failed=1)
    assert low.oldest_seconds > 0
    assert low.timings.run.total == 4
    assert sum(tally.ended for tally in overview.history.minutes["low"]) == 4
    assert sum(tally.ended for _, tally in overview.history.times) == 4
    assert sum(timings.run.total for timings in overview.history.timings) == 4
    assert overview.failures.total == 1


@pytest.mark.usefixtures("moved")
def test_the_day_of_a_queue_that_has_moved():
    day = take_day()

    # Unless midnight has passed just now.
    if day.snapshot.now_ms % 86_400_000 > 60_000:
        assert day.ended["low"].ended == day.timings["low"].run.total == 4


def test_a_queue_is_paused_where_workers_look_for_it(moved: Store):
    moved.pause("low", reason="now")

    _, low, _ = take().queues

    assert low.counts.paused is not None
    assert low.counts.paused.reason == "now"


@pytest.mark.parametrize("period", Period)
def test_what_ended_is_in_the_history(store: Store, period: Period):
    end(store, "high", "succeeded")
    end(store, "high", "succeeded")
    end(store, "low", "failed")

    history = take_overview(period).history

    assert len(history.times) == period.length
    # The clock may have gone on to the next bucket meanwhile.
    assert sum(tally.succeeded for _, tally in history.times[-2:]) == 2
    assert sum(tally.failed for _, tally in history.times[-2:]) == 1
    assert sum(tally.ended for tally in history.minutes["high"][-3:]) == 2
    assert history.functions["shop.jobs.send"].run_seconds == 1.0


def test_failures_carry_what_tells_them_apart_and_no_more(store: Store):
    end(
        store, "high", "failed", **failed("shop.jobs.send", "smtplib.SMTPError", "a\nb")
    )
    end(store, "low", "failed", **failed("shop.jobs.charge", "", "crashed: signal 9"))
    end(store, "low", "failed", body="rubbish", attempt="rubbish")

    found = take_overview(Period.HOUR).failures

    assert found.total == 3
    assert not found.is_cut
    assert [(one.function, one.reason, one.message) for one in found.newest] == [
        ("", "", ""),
        ("shop.jobs.charge", "crashed: signal 9", "crashed: signal 9"),
        ("shop.jobs.send", "smtplib.SMTPError", "a"),
    ]


def test_failures_of_one_millisecond_come_newest_first_across_queues(store: Store):
    ids = [end(store, queue, "failed") for queue in ("high", "low", "high", "low")]
    for job_id, queue in zip(ids, ("high", "low") * 2, strict=True):
        store.client.zadd(store.keys.ended("failed", queue), {job_id: 5000})

    places = [(store.keys, "high"), (store.keys, "low")]
    found = store.do(newest_failures(places, 0, 4))

    assert [one.id for one in found.newest] == sorted(ids, reverse=True)


def test_only_the_newest_failures_are_looked_at(store: Store):
    ids = [end(store, queue, "failed") for queue in ("high", "low", "high")]
    place = [(store.keys, "high"), (store.keys, "low")]
    for age, job_id in enumerate(reversed(ids)):
        queue = "low" if age == 1 else "high"
        store.client.zadd(store.keys.ended("failed", queue), {job_id: 5000 - age})

    found = store.do(newest_failures(place, 0, 2))
    assert (found.total, found.is_cut) == (3, True)
    assert [one.id for one in found.newest] == [ids[2], ids[1]]

    found = store.do(newest_failures(place, 4999, 2))
    assert (found.total, found.is_cut) == (2, False)


def test_the_day_counts_each_queue(store: Store):
    end(store, "high", "succeeded")
    end(store, "low", "failed")

    day = take_day()

    # Unless midnight has passed just now.
    if day.snapshot.now_ms % 86_400_000 > 60_000:
        assert day.ended["high"].succeeded == 1
        assert day.ended["low"].failed == 1


def test_an_empty_store(redisjobs: dict[str, Any]):
    overview = take_overview(Period.WEEK)

    assert [view.counts.queue for view in overview.snapshot.queues] == [
        *("high", "default", "low")
    ]
    assert not overview.snapshot.workers
    assert not overview.failures.newest
    assert not overview.history.functions
