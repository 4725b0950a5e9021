"""Choosing jobs by what is known of them, and acting on those."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from django.test import override_settings
from django.utils import timezone

from django_redisjobs import JobStatus, conf, get_queue, jobs, queries
from django_redisjobs.calls import ask
from django_redisjobs.core.scripts import send
from django_redisjobs.exceptions import UnknownQueue
from tests.integration.core.store import Store

SEND = '["shop.jobs.send",[1],{}]'
CHARGE = '["shop.jobs.charge",[1],{}]'


@pytest.fixture
def store(client: redis.Redis, redisjobs: dict[str, Any]) -> Store:
    return Store(client, conf.keys_for("default"))


@pytest.fixture
def some(store: Store) -> dict[str, list[str]]:
    """Some of each; those that failed are of two functions and two queues."""
    failed = store.add("high", 2, body=CHARGE) + store.add("low", body=SEND)
    worker = store.worker("high", "low")
    worker.settle(*worker.claim(3), kind="failed", error="ValueError: no")
    return {
        "failed": failed,
        "pending": store.add("default", 3, body=SEND),
        "scheduled": store.add("default", 2, body=CHARGE, delay_ms=60_000),
    }


def test_by_status_queue_and_function(some: dict[str, list[str]]):
    charges, send = some["failed"][:2], some["failed"][2:]

    assert set(jobs.failed().ids()) == set(some["failed"])
    assert set(jobs.failed().in_queue("high").ids()) == set(charges)
    assert jobs.failed().for_function("shop.jobs.send").ids() == send
    assert set(jobs.failed().scheduled().ids()) == {*some["failed"], *some["scheduled"]}
    assert set(jobs.ids()) == {job_id for ids in some.values() for job_id in ids}
    assert jobs.in_queue("low", "high").count() == 3
    assert jobs.count() == 8
    assert jobs.for_function("shop.jobs.charge").count() == 4
    assert jobs.running().ids() == []


def test_by_time(store: Store, some: dict[str, list[str]]):
    before = timezone.now() - timedelta(hours=1)

    assert jobs.failed().since("1h").count() == 3
    assert jobs.failed().since(before).until(timezone.now() + timedelta(1)).count() == 3
    assert jobs.failed().until("1h").ids() == []
    assert jobs.pending().since(timezone.now() + timedelta(minutes=1)).ids() == []


def test_by_time_where_django_has_no_time_zones(some: dict[str, list[str]]):
    with override_settings(USE_TZ=False):
        assert jobs.failed().since("1h").count() == 3
        assert jobs.failed().since(datetime.now(UTC) - timedelta(1)).count() == 3
        with pytest.raises(ValueError, match=r"datetime\.now\(UTC\)"):
            jobs.since(timezone.now())


def test_a_limit_and_snapshots(some: dict[str, list[str]]):
    assert jobs.pending().ids(2) == some["pending"][:2]
    (first,) = jobs.pending().infos(1)
    assert (first.id, first.function) == (some["pending"][0], "shop.jobs.send")


def test_pages_of_many(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("django_redisjobs.queries.PAGE", 7)
    ids = store.add("low", 30)

    assert jobs.pending().ids() == ids
    assert jobs.pending().cancel().words == {"cancelled": 30}
    assert set(jobs.cancelled().ids()) == set(ids)


def test_only_what_is_there_counts_as_looked_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("django_redisjobs.queries.PAGE", 5)
    ids = [*store.add("q00", 7)]
    for number in range(1, 30):
        ids += store.add(f"q{number:02}")

    def found(look_at: int) -> tuple[list[str], bool]:
        chosen, is_cut = ask(jobs.search(list(JobStatus), look_at=look_at))
        return [job_id for part in chosen.values() for job_id in part], is_cut

    assert found(37) == found(36) == (ids, False)
    assert found(35) == (ids[:35], True)
    # In the middle of a queue, and of a page; at the end of a queue.
    assert found(6) == (ids[1:7], True)
    assert found(7) == (ids[:7], True)


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.SCHEDULED])
@pytest.mark.parametrize("priority", [0, 5, -5])
@pytest.mark.parametrize("produces", [False, True])
def test_none_is_passed_over_while_workers_take_others(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    status: JobStatus,
    priority: int,
    produces: bool,
):
    monkeypatch.setattr("django_redisjobs.queries.PAGE", 5)
    delay_ms = 60_000 if status is JobStatus.SCHEDULED else None
    store.add("low", 40, priority=priority, delay_ms=delay_ms)
    worker = store.worker("low")
    search = jobs.in_queue("low").search([status])
    there = set(ask(jobs.in_queue("low").search([status]))[0][store.keys])

    def take_two() -> None:
        if status is JobStatus.SCHEDULED:
            first = store.client.zrange(store.keys.scheduled("low"), 0, 1)
            store.make_due(*map(bytes.decode, first), queue="low")
        worker.claim(2)
        if produces:
            store.add("low", 1, priority=priority, delay_ms=delay_ms)

    try:
        commands = next(search)
        while True:
            commands = search.send(send(store.client, commands))
            take_two()
    except StopIteration as stop:
        found, _ = stop.value

    now = ask(jobs.in_queue("low").search([status]))[0].get(store.keys, [])
    left = [each for each in now if each in there]
    assert 0 < len(left) < 40
    assert set(left) <= set(found[store.keys])
    if not produces:
        assert [each for each in found[store.keys] if each in left] == left


def test_what_falls_due_meanwhile_is_not_passed_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("django_redisjobs.queries.PAGE", 5)
    store.add("low", 20)
    (due,) = store.add("low", delay_ms=60_000)
    worker = store.worker("low")
    search = jobs.in_queue("low").search(queries.WAITING)

    commands = next(search)
    try:
        while True:
            replies = send(store.client, commands)
            if any(b"pending" in str(command).encode() for command in commands):
                store.make_due(due, queue="low")
                worker.claim(1)
            commands = search.send(replies)
    except StopIteration as stop:
        found, _ = stop.value

    assert due in found[store.keys]


def test_a_job_that_stands_in_a_list_and_went_elsewhere_is_not_meant(store: Store):
    (job_id,) = store.add("low")
    store.move(job_id, queue="high")

    assert jobs.in_queue("low").cancel().total == 0
    assert jobs.in_queue("high").ids() == [job_id]


def test_each_change_takes_what_it_is_meant_for(
    store: Store, some: dict[str, list[str]]
):
    assert jobs.for_function("shop.jobs.charge").retry().words == {"pending": 2}
    assert jobs.in_queue("default").run_now().words == {"pending": 2}
    assert jobs.in_queue("default").move("low").words == {"moved": 5}
    assert jobs.in_queue("low").pending().cancel().words == {"cancelled": 5}
    assert jobs.in_queue("low").delete().words == {"deleted": 6}
    assert set(jobs.ids()) == set(some["failed"][:2])


def test_a_tally_tells_what_was_done_and_what_not(store: Store):
    store.add("low", 2)
    store.worker("low").claim(1)

    tally = jobs.in_queue("low").with_status(*JobStatus).delete()

    assert (tally.done, tally.total) == (1, 2)
    assert tally.words == {"deleted": 1, "running": 1}


def test_nothing_is_done_to_all_jobs_by_mistake(store: Store):
    store.add("low")

    for change in (jobs.retry, jobs.run_now, jobs.cancel, jobs.delete):
        with pytest.raises(ValueError, match="every job there is"):
            change()
    with pytest.raises(ValueError, match="every job there is"):
        jobs.move("low")
    assert jobs.with_status(*JobStatus).cancel().done == 1


def test_jobs_of_another_group_are_not_moved(redisjobs: dict[str, Any], client: Any):
    queues = {"here": {}, "there": {"GROUP": "other"}}
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        Store(client, conf.keys_for("there")).add("there", 2)
        Store(client, conf.keys_for("here")).add("here", 1)

        tally = jobs.pending().move("here")

        assert tally.words == {"same": 1, "elsewhere": 2}
        assert jobs.in_queue("there").count() == 2


def test_what_is_wrong_is_said(store: Store):
    with pytest.raises(UnknownQueue):
        jobs.in_queue("nowhere").ids()
    with pytest.raises(UnknownQueue):
        jobs.failed().move("nowhere")
    for call in (jobs.in_queue, jobs.failed().move, get_queue):
        with pytest.raises(TypeError, match=r"queue is a str, not \['low'\]"):
            call(["low"])
    with pytest.raises(
        ValueError, match=r"'faild' is no status\. Did you mean failed\?"
    ):
        jobs.with_status("faild")
    with pytest.raises(ValueError, match=r"Choose from scheduled, .*, parked\."):
        jobs.with_status("broken")
    with pytest.raises(ValueError, match="time zone"):
        jobs.since(datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="soon"):
        jobs.since("soon")


@pytest.mark.parametrize(
    "choose",
    [
        lambda: jobs.pending().in_queue(),
        lambda: jobs.in_queue("low").with_status(),
        lambda: jobs.pending().for_function(""),
        lambda: jobs.pending().for_function(len),  # type: ignore[arg-type]
    ],
)
def test_a_choice_that_is_empty_is_not_all_jobs(choose: Any):
    with pytest.raises(ValueError, match=r"needs|no job function"):
        choose()


def test_a_query_is_a_value(redisjobs: dict[str, Any]):
    failed = jobs.failed()

    failed.in_queue("high")

    assert failed == jobs.failed()
    assert hash(failed) == hash(jobs.failed().failed())
    assert failed != jobs


def test_with_eager_nothing_is_there(redisjobs: dict[str, Any]):
    settings = {**redisjobs, "URL": "redis://127.0.0.1:1", "EAGER": True}

    with override_settings(REDISJOBS=settings):
        assert jobs.ids() == []
        assert jobs.failed().retry().total == 0


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_the_async_twins(
    store: Store, some: dict[str, list[str]], loop: asyncio.Runner
):
    async def act() -> list[Any]:
        pending = jobs.pending()
        return [
            await pending.acount(),
            len(await pending.aids(2)),
            (await pending.ainfos(1))[0].status,
            (await jobs.failed().aretry()).done,
            (await jobs.scheduled().arun_now()).done,
            (await jobs.in_queue("default").amove("low")).done,
            (await jobs.pending().acancel()).done,
            (await jobs.cancelled().adelete()).done,
        ]

    assert loop.run(act()) == [3, 2, JobStatus.PENDING, 3, 2, 5, 8, 8]
