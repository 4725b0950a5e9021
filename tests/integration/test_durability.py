"""DURABLE: an enqueue waits for disk or replicas, and tells when they do not confirm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

from django_redisjobs import JobStatus, get_queue, job
from django_redisjobs.exceptions import EnqueueError, NotAcknowledged, NotDurable
from django_redisjobs.models import OutboxEntry
from django_redisjobs.signals import job_enqueued
from django_redisjobs.surroundings import server_problems
from django_redisjobs.worker.relay import relay
from tests.servers import Server


@job
def write(number: int) -> int:
    return number


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server with an append-only file, and no replica."""
    started = Server("--appendfsync", "always", append_only=True)
    yield started
    started.stop()


@pytest.fixture
def durable(own: Server) -> Iterator[Callable[..., None]]:
    begun: list[override_settings] = []

    def use(value: object, **more: Any) -> None:
        settings = {"URL": own.url, "DURABLE": value, **more}
        override = override_settings(REDISJOBS=settings)
        override.enable()
        begun.append(override)

    yield use
    with own.client() as client:
        client.flushall()
    for override in reversed(begun):
        override.disable()


@pytest.fixture
def waits_for_disk(own: Server) -> bool:
    with own.client() as client:
        info: Any = client.info("server")
    return tuple(map(int, info["redis_version"].split(".")[:2])) >= (7, 2)


IN_VAIN = {"REPLICAS": 1, "TIMEOUT": 0.01}


def test_a_missing_replica_is_told_and_the_job_is_there(durable: Any) -> None:
    durable(IN_VAIN)
    told: list[str] = []

    def receive(job_id: str, **_: Any) -> None:
        told.append(job_id)

    job_enqueued.connect(receive)
    try:
        with pytest.raises(
            NotDurable, match=r"asks: after 0\.01 s 0 of 1 replicas have it\."
        ) as caught:
            write.delay(1)
    finally:
        job_enqueued.disconnect(receive)

    assert isinstance(caught.value, EnqueueError)
    assert "Do not enqueue again" in str(caught.value)
    assert get_queue("default").depth() == 1
    assert list(caught.value.job_ids) == told


def test_a_coroutine_is_told_too(durable: Any) -> None:
    durable(IN_VAIN)

    with pytest.raises(NotDurable):
        asyncio.run(write.adelay(1))

    assert get_queue("default").depth() == 1


def test_each_queue_has_its_own(durable: Any) -> None:
    durable(IN_VAIN, QUEUES={"default": {"DURABLE": False}, "safe": {}})

    assert write.delay(1).status() is JobStatus.PENDING
    with pytest.raises(NotDurable, match="2 jobs"):
        write.using(queue="safe").delay_many([(1,), (2,)])

    assert get_queue("safe").depth() == 2


def test_the_disk(durable: Any, own: Server, waits_for_disk: bool) -> None:
    durable(True)

    if waits_for_disk:
        assert write.delay(1).status() is JobStatus.PENDING
        with own.client() as client:
            client.config_set("appendonly", "no")
    try:
        why = (
            "cannot tell: .*WAITAOF"
            if waits_for_disk
            else "asks: this server has no WAITAOF"
        )
        with pytest.raises(NotDurable, match=why):
            write.delay(2)
        assert "redisjobs.W010" in [each.id for each in server_problems()]
    finally:
        with own.client() as client:
            client.config_set("appendonly", "yes")


def test_missing_replicas_are_told_before(durable: Any) -> None:
    durable(IN_VAIN)

    (found,) = server_problems()

    assert found.id == "redisjobs.W009"
    assert "has 0 replicas, but DURABLE asks for 1" in found.msg


@pytest.mark.django_db(transaction=True)
def test_jobs_of_an_outbox_stay_there_until_they_are_durable(
    durable: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable(IN_VAIN, OUTBOX=True)

    with caplog.at_level(logging.WARNING, "redisjobs"), transaction.atomic():
        handle = write.delay(1)

    assert handle.status() is JobStatus.PENDING
    assert "It stays in the outbox until it is." in caplog.text
    monkeypatch.setattr("django_redisjobs.outbox.GRACE_SECONDS", -1.0)
    with pytest.raises(NotAcknowledged):
        relay("default")
    assert OutboxEntry.objects.filter(taken_at=None).count() == 1
    durable(False, OUTBOX=True)
    assert relay("default") == 1
    assert not OutboxEntry.objects.exists()
    assert get_queue("default").depth() == 1


def test_without_a_process_to_outlive_nothing_is_waited_for() -> None:
    settings = {"URL": "memory://", "DURABLE": 1}
    with override_settings(REDISJOBS=settings):
        assert write.delay(1).status() is JobStatus.PENDING


@pytest.mark.parametrize(
    ("value", "command"),
    [
        (True, ("WAITAOF", 1, 0, 1000)),
        (2, ("WAIT", 2, 1000)),
        ({"DISK": True, "REPLICAS": 1, "TIMEOUT": "2s"}, ("WAITAOF", 1, 1, 2000)),
    ],
)
def test_what_is_asked_of_the_server(value: object, command: object) -> None:
    from django_redisjobs.conf import get_queue_settings

    with override_settings(REDISJOBS={"URL": "redis://", "DURABLE": value}):
        durability = get_queue_settings("default").durable

    assert durability is not None
    assert durability.command == command


def test_tasks_that_wait_for_replicas_keep_no_others_waiting(
    durable: Callable[..., None],
) -> None:
    """More than the tasks of a loop share connections, and for longer than they wait."""
    durable(
        {"REPLICAS": 1, "TIMEOUT": 0.9},
        OPTIONS={"socket_timeout": 1.0},
        QUEUES={"default": {}, "quick": {"DURABLE": False}},
    )

    async def many() -> list[Any]:
        calls = [write.adelay(number) for number in range(150)]
        quick = [write.using(queue="quick").adelay(1)]
        return await asyncio.gather(*calls, *quick, return_exceptions=True)

    *waited, quick = asyncio.run(many())

    assert {type(each) for each in waited} == {NotDurable}, waited[0]
    assert not isinstance(quick, Exception)
    assert get_queue("default").counts().pending == 150
