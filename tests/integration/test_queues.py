"""Queues by name: what goes in, what is counted, what is held back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.transaction import atomic
from django.test import override_settings
from django.utils.translation import gettext_lazy

from django_redisjobs import JobStatus, conf, enqueue, exceptions, get_queue, job
from django_redisjobs.connections import client
from tests.integration.core.store import Store

pytestmark = pytest.mark.usefixtures("redisjobs")


@job
def add(a: int, b: int = 2) -> int:
    return a + b


def plain(a: int) -> None: ...


PATH = "tests.integration.test_queues.add"


def test_a_queue_takes_job_functions_and_dotted_paths() -> None:
    low = get_queue("low")

    first = low.enqueue(add, 5, b=7)
    second = low.enqueue(PATH, 5, 7)

    assert [handle.info().queue for handle in (first, second)] == ["low", "low"]
    assert (first.info().kwargs, second.info().args) == ({"b": 7}, (5, 7))
    assert low.depth() == low.counts().pending == 2


def test_enqueue_uses_the_functions_own_queue() -> None:
    assert enqueue(add, 1).info().queue == "default"
    assert enqueue(PATH, 1).info().function == PATH


def test_jobs_go_in_for_later() -> None:
    queue = get_queue("low")
    when = datetime.now(UTC) + timedelta(hours=1)

    handles = [
        queue.enqueue_in("5m", add, 1),
        queue.enqueue_in(timedelta(minutes=5), PATH, 1),
        queue.enqueue_at(when, add, 1),
        queue.enqueue_at(when, PATH, 1, b=3),
    ]

    assert {handle.status() for handle in handles} == {JobStatus.SCHEDULED}
    due = handles[2].info().due_at
    assert due is not None
    assert abs(due - when) < timedelta(milliseconds=2)
    assert queue.counts().scheduled == 4


@pytest.mark.parametrize(
    "enqueue_it",
    [
        lambda queue: queue.enqueue_in(-1, add, 1),
        lambda queue: queue.enqueue_in("soon", add, 1),
        lambda queue: queue.enqueue_at(datetime(2030, 1, 1), add, 1),  # noqa: DTZ001
        lambda queue: queue.enqueue_at("5m", add, 1),
    ],
)
def test_bad_times_are_value_errors(enqueue_it: Any) -> None:
    with pytest.raises(ValueError, match=r"duration|time zone|datetime"):
        enqueue_it(get_queue("low"))

    assert get_queue("low").counts().scheduled == 0


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (plain, "is a plain function. Enqueue a job function"),
        (atomic(add), "add has a decorator above its @job.*: put it below"),
        ("tests.integration.test_queues.plain", "is a plain function, not a job"),
        ("nowhere.add", "cannot be imported"),
        (5, "is no function"),
    ],
)
def test_what_is_no_job_function_is_refused(function: Any, words: str) -> None:
    with pytest.raises(exceptions.UnknownJobFunction, match=words):
        get_queue("low").enqueue(function, 1)


def test_arguments_are_checked_by_name_too() -> None:
    with pytest.raises(TypeError, match="too many positional"):
        get_queue("low").enqueue(PATH, 1, 2, 3)


def test_an_unknown_queue_is_refused_with_the_choices() -> None:
    with pytest.raises(exceptions.UnknownQueue, match="has high, default, low"):
        get_queue("slow")


def test_latency_is_how_long_the_next_job_waits_already() -> None:
    queue = get_queue("low")
    assert queue.latency() == 0

    queue.enqueue(add, 1)

    assert 0 <= queue.latency() < 60


def test_a_paused_queue_lets_nothing_start_until_it_is_resumed() -> None:
    queue = get_queue("low")
    worker = Store(client(), conf.keys_for("low")).worker("low")
    queue.pause(reason="bank is down", by="ann")
    queue.enqueue(add, 1)

    assert worker.claim() == []
    paused = queue.counts().paused
    assert paused is not None
    assert (paused.reason, paused.by, paused.until_ms) == ("bank is down", "ann", 0)
    assert (queue.resume(), queue.resume()) == (True, False)
    assert len(worker.claim()) == 1


def test_a_pause_may_end_by_itself() -> None:
    queue = get_queue("low")
    until = datetime.now(UTC) + timedelta(hours=1)

    queue.pause(for_="10m")
    first = queue.counts().paused
    queue.pause(until=until)
    second = queue.counts().paused

    assert first is not None
    assert second is not None
    assert first.until_ms - first.since_ms == 600_000
    assert abs(second.until_ms - until.timestamp() * 1000) < 2
    with pytest.raises(ValueError, match="not both"):
        queue.pause(for_=1, until=until)
    with pytest.raises(ValueError, match="time zone"):
        queue.pause(until=datetime(2030, 1, 1))  # noqa: DTZ001


def test_a_pause_that_is_over_is_none_though_no_worker_looks() -> None:
    queue = get_queue("low")
    store = Store(client(), conf.keys_for("low"))

    store.pause("low", until_ms=store.now_ms())

    assert queue.counts().paused is None
    assert queue.resume() is False
    store.pause("low", until_ms=store.now_ms() + 60_000)
    assert queue.counts().paused is not None
    assert queue.resume() is True


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({"for_": 0}, "pause for 0 is none"),
        ({"for_": timedelta()}, "is none: give a time above 0"),
        ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, "until 2020-01-01 .* is over"),
    ],
)
def test_a_pause_that_would_be_over_at_once_is_refused(times: Any, words: str) -> None:
    queue = get_queue("low")
    queue.pause(reason="stays")

    with pytest.raises(ValueError, match=words):
        queue.pause(**times)
    with pytest.raises(ValueError, match=words):
        asyncio.run(queue.apause(**times))

    paused = queue.counts().paused
    assert paused is not None
    assert paused.reason == "stays"


@pytest.mark.parametrize("name", ["reason", "by"])
@pytest.mark.parametrize("value", [5, None, b"bank"])
def test_why_and_who_are_text(name: str, value: Any) -> None:
    queue = get_queue("low")

    with pytest.raises(TypeError, match=f"{name} is a str, not {value!r}"):
        queue.pause(**{name: value})

    assert queue.counts().paused is None
    queue.pause(**{name: gettext_lazy("Yes")})  # type: ignore[arg-type]
    assert getattr(queue.counts().paused, name) == "Yes"


def test_a_queue_can_be_emptied() -> None:
    queue = get_queue("low")
    handles = add.using(queue="low").delay_many([(1,), (2,)])
    queue.enqueue_in("5m", add, 3)
    kept = add.delay(4)

    assert queue.purge() == 3

    assert (queue.depth(), queue.purge()) == (0, 0)
    assert kept.status() is JobStatus.PENDING
    with pytest.raises(exceptions.JobNotFound):
        handles[0].status()


def test_a_queue_whose_group_was_changed_has_what_is_left_in_the_former_one(
    redisjobs: dict[str, Any],
) -> None:
    former = get_queue("low")
    left = former.enqueue(add, 1)
    former.pause()

    queues = {"default": {}, "low": {"GROUP": "other"}}
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        queue = get_queue("low")
        queue.enqueue(add, 2)

        assert queue.counts().pending == 2
        # Its workers do not look there.
        assert queue.depth() == 1
        assert queue.counts().paused is None
        assert queue.purge() == 2
        assert queue.counts().pending == 0
        with pytest.raises(exceptions.JobNotFound):
            left.status()


def test_every_call_has_its_async_twin() -> None:
    queue = get_queue("low")
    when = datetime.now(UTC) + timedelta(hours=1)

    async def ask() -> None:
        await queue.aenqueue(add, 1)
        await queue.aenqueue_in("5m", PATH, 1)
        await queue.aenqueue_at(when, add, 1)
        assert await queue.adepth() == 1
        assert (await queue.acounts()).scheduled == 2
        assert await queue.alatency() < 60
        await queue.apause(reason="x")
        assert await queue.aresume() is True
        assert await queue.apurge() == 3

    asyncio.run(ask())
