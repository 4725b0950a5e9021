"""What a handle tells of a job, in each of its states, now or when it has ended."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import override_settings

from django_redisjobs import (
    JobHandle,
    JobStatus,
    conf,
    exceptions,
    get_job,
    job,
    jobs,
)
from django_redisjobs.connections import client
from django_redisjobs.context import Progress
from django_redisjobs.core.records import AttemptRecord
from django_redisjobs.serialization import ModelReference, codec
from tests.integration.core.store import Store, Worker, settlement
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("redisjobs")


@job
def add(a: int, b: int = 2) -> int:
    return a + b


@job("high")
def fetch(group: Group) -> Group:
    return group


class Site:
    """A worker that ends jobs as the test says."""

    def __init__(self, queue: str = "default") -> None:
        self.store = Store(client(), conf.keys_for(queue))
        self.worker: Worker = self.store.worker(queue)

    def end(self, kind: str = "succeeded", value: object = 3, **more: Any) -> None:
        (claimed,) = self.worker.claim()
        if kind == "succeeded":
            more = {"result": codec.dumps(value), "result_ttl_ms": 60_000, **more}
        if kind == "failed":
            record = AttemptRecord(
                number=claimed.attempts + 1,
                run=claimed.run,
                worker=self.worker.name,
                started_ms=1_000,
                finished_ms=2_000,
                outcome="failed",
                exception_class="shop.errors.CardRefused",
                message="no money",
                traceback="Traceback …\nshop.errors.CardRefused: no money\n",
            )
            more = {"attempt": record.to_json(), "error": "CardRefused: no money"}
        self.worker.exchange([settlement(claimed, kind, **more)])


@pytest.fixture
def site() -> Site:
    return Site()


@contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    """Have another thread do something as soon as this one waits for Redis."""
    thread = threading.Thread(target=after_someone_blocks, args=(act,))
    thread.start()
    yield
    thread.join()


def after_someone_blocks(act: Callable[[], object]) -> None:
    while client().info("clients")["blocked_clients"] == 0:
        pass
    act()


def test_a_job_that_waits(site: Site) -> None:
    handle = add.using(priority=4).delay(1, b=5)

    info = handle.info()

    assert (handle.status(), info.status) == (JobStatus.PENDING,) * 2
    assert (info.id, info.function) == (handle.id, add.path)
    assert (info.queue, info.args, info.kwargs) == ("default", (1,), {"b": 5})
    assert (info.priority, info.attempts, info.crashes) == (4, (), 0)
    assert (info.result, info.error, info.progress, info.meta) == (None, "", None, {})
    assert info.enqueued_at is not None
    assert info.enqueued_at.tzinfo is UTC
    assert (info.started_at, info.finished_at) == (None, None)


def test_a_job_that_waits_for_its_retry_says_when_it_is_due(site: Site) -> None:
    handle = add.delay(1)
    before = datetime.now(UTC)
    site.end("retry", delay_ms=3_600_000)

    infos = [handle.info(), *jobs.scheduled().infos(), asyncio.run(handle.ainfo())]

    for info in infos:
        assert info.status is JobStatus.SCHEDULED
        assert info.due_at is not None
        assert (
            before < info.due_at - timedelta(minutes=59) < before + timedelta(hours=1)
        )


def test_a_snapshot_is_frozen(site: Site) -> None:
    info = add.delay(1).info()

    with pytest.raises(FrozenInstanceError):
        info.queue = "low"  # type: ignore[misc]


def test_a_job_that_succeeded(site: Site) -> None:
    handle = add.delay(1)
    site.end(value=(3, {4}), meta='{"a":1}', progress='{"done":1,"total":2}')

    info = handle.info()

    assert handle.result() == handle.result(timeout=0) == (3, {4})
    assert handle.wait(timeout=0) is info.status is JobStatus.SUCCEEDED
    assert (info.result, info.meta) == ((3, {4}), {"a": 1})
    assert info.progress == Progress(1, 2)
    assert [(each.number, each.outcome) for each in info.attempts] == [(1, "succeeded")]
    assert info.started_at is not None
    assert info.finished_at is not None
    assert info.finished_at >= info.started_at


def test_a_job_that_failed_raises_with_its_traceback(site: Site) -> None:
    handle = add.delay(1)
    site.end("failed")

    with pytest.raises(exceptions.JobFailed) as hit:
        handle.result(timeout=1)

    assert handle.wait() is JobStatus.FAILED
    text = str(hit.value)
    assert f"{add.path} ({handle.id}) failed: shop.errors.CardRefused: no money" in text
    assert "Traceback …" in text
    attempt = hit.value.attempt
    assert attempt == handle.info().attempts[0]
    assert attempt is not None
    assert (attempt.exception_class, attempt.message) == (
        "shop.errors.CardRefused",
        "no money",
    )
    assert handle.info().attempts[0].started_at == datetime(
        1970, 1, 1, 0, 0, 1, tzinfo=UTC
    )
    assert handle.info().error == "CardRefused: no money"


def test_a_job_that_was_cancelled(site: Site) -> None:
    handle = add.delay(1)

    assert handle.cancel() is True

    with pytest.raises(exceptions.JobCancelled, match="was cancelled"):
        handle.result(timeout=1)
    assert handle.status() is JobStatus.CANCELLED
    assert handle.cancel() is False


def test_a_job_that_expired(site: Site) -> None:
    handle = add.using(expires=0.001).delay(1)
    late = threading.Event()
    late.wait(0.01)
    assert site.worker.claim() == []

    with pytest.raises(exceptions.JobExpired, match="nobody started it in time"):
        handle.result(timeout=1)


def test_a_result_that_is_not_kept_is_none(site: Site) -> None:
    handle = add.delay(1)
    site.end(result=None, result_ttl_ms=0)

    assert handle.result() is None
    assert handle.info().result is None


def test_looking_once_does_not_wait(site: Site) -> None:
    handle = add.delay(1)

    with pytest.raises(exceptions.ResultTimeout, match=r"is pending .* after 0 s"):
        handle.result(timeout=0)
    with pytest.raises(TimeoutError):
        handle.wait(timeout=0)


def test_waiting_blocks_until_the_job_ends(site: Site) -> None:
    handle = add.delay(1)

    with meanwhile(site.end):
        assert handle.result(timeout="30s") == 3


def test_waiting_for_ever_blocks_until_the_job_ends(site: Site) -> None:
    handle = add.delay(1)

    with meanwhile(lambda: site.end("failed")):
        assert handle.wait() is JobStatus.FAILED


def test_waiting_ends_at_its_limit(site: Site) -> None:
    handle = add.delay(1)

    with pytest.raises(exceptions.ResultTimeout, match=r"ended after 0.2 s\..* cancel"):
        handle.result(timeout=0.2)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 1.1])
def test_a_limit_is_kept_to_the_hundredth(site: Site, seconds: float) -> None:
    handle = add.delay(1)

    def wait() -> float:
        before = time.monotonic()
        with pytest.raises(exceptions.ResultTimeout):
            handle.result(timeout=seconds)
        return time.monotonic() - before

    async def wait_in_loop() -> float:
        before = time.monotonic()
        with pytest.raises(exceptions.ResultTimeout):
            await handle.await_(timeout=seconds)
        return time.monotonic() - before

    # A busy machine is late now and then; a server would be late nearly always.
    for measure in (wait, lambda: asyncio.run(wait_in_loop())):
        took = iter(measure, None)
        assert any(seconds <= next(took) < seconds + 0.05 for _ in range(5))


def test_a_short_wait_ends_with_the_job(site: Site) -> None:
    handle = add.delay(1)
    before = time.monotonic()

    with meanwhile(site.end):
        assert handle.result(timeout=0.9) == 3

    assert time.monotonic() - before < 0.5


def test_a_job_that_is_deleted_meanwhile_is_not_found(site: Site) -> None:
    handle = add.delay(1)

    with (
        meanwhile(lambda: (handle.cancel(), handle.delete())),
        pytest.raises((exceptions.JobNotFound, exceptions.JobCancelled)),
    ):
        handle.result(timeout=30)


def test_an_ended_job_can_run_again(site: Site) -> None:
    handle = add.delay(1)
    site.end("failed")

    assert handle.retry() is True
    assert handle.retry() is False
    assert handle.status() is JobStatus.PENDING
    site.end()

    assert handle.result() == 3
    assert [each.outcome for each in handle.info().attempts] == ["failed", "succeeded"]


def test_a_job_can_be_forgotten_unless_it_runs(site: Site) -> None:
    handle = add.delay(1)
    (claimed,) = site.worker.claim()

    assert handle.delete() is False
    assert handle.cancel() is True
    site.worker.exchange([settlement(claimed, "cancelled")])
    assert handle.delete() is True
    with pytest.raises(exceptions.JobNotFound):
        handle.delete()


@pytest.mark.parametrize(
    "ask", ["status", "info", "wait", "result", "cancel", "retry", "delete"]
)
def test_what_redis_does_not_know_is_not_found(ask: str) -> None:
    for job_id in ("0" * 28, "nonsense", "", "ä\n {}", "\ud800"):
        handle = get_job(job_id)

        with pytest.raises(exceptions.JobNotFound, match="knows no job"):
            getattr(handle, ask)()


def test_an_id_is_text() -> None:
    with pytest.raises(TypeError, match="is a str"):
        get_job(5)  # type: ignore[arg-type]


def test_a_handle_is_its_id() -> None:
    handle = add.delay(1)

    assert handle == get_job(handle.id) == JobHandle(handle.id)
    assert len({handle, get_job(handle.id)}) == 1
    assert repr(handle) == f"<JobHandle {handle.id}>"
    assert get_job(handle.id).info() == handle.info()


def test_an_id_alone_is_found_in_any_group(redisjobs: dict[str, Any]) -> None:
    queues = {"default": {}, "high": {"GROUP": "b"}, "low": {"GROUP": "c"}}
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        handle = get_job(add.using(queue="low").delay(1).id)

        assert handle.status() is JobStatus.PENDING
        assert handle.info().queue == "low"
        with pytest.raises(exceptions.ResultTimeout):
            handle.result(timeout=0)
        assert handle.cancel() is True
        with pytest.raises(exceptions.JobCancelled):
            handle.result()
        with pytest.raises(exceptions.JobNotFound):
            get_job("0" * 28).status()


def test_every_call_has_its_async_twin(site: Site) -> None:
    handle = add.delay(1)
    site.end()

    async def ask() -> None:
        assert await handle.aresult(timeout=5) == 3
        assert await handle.await_(timeout=5) is JobStatus.SUCCEEDED
        assert await handle.astatus() is JobStatus.SUCCEEDED
        assert (await handle.ainfo()).result == 3
        assert await handle.acancel() is False
        assert await handle.aretry() is True
        assert await handle.acancel() is True
        assert await handle.adelete() is True
        with pytest.raises(exceptions.JobNotFound):
            await handle.astatus()

    asyncio.run(ask())


def test_awaiting_blocks_no_event_loop(site: Site) -> None:
    handle = add.delay(1)

    async def both() -> list[Any]:
        end = asyncio.to_thread(after_someone_blocks, site.end)
        return await asyncio.gather(handle.aresult(timeout=30), end)

    assert asyncio.run(both())[0] == 3


@pytest.mark.django_db(transaction=True)
def test_a_result_that_is_a_row_is_fetched() -> None:
    group = Group.objects.create(name="g")
    handle = fetch.delay(group)
    Site("high").end(value=group)
    Group.objects.update(name="later")

    assert handle.result().name == "later"
    assert asyncio.run(handle.aresult()) == group
    reference = ModelReference("auth.group", str(group.pk), "default")
    assert handle.info().args == (reference,)
    assert handle.info().result == reference


def test_a_stored_result_of_another_build_is_malformed(site: Site) -> None:
    handle = add.delay(1)
    site.end(result='{"$":"planet","v":1}')

    with pytest.raises(exceptions.PayloadMalformed, match="planet"):
        handle.result()


def test_a_server_that_is_down_is_named(redisjobs: dict[str, Any]) -> None:
    server = Server()
    server.stop()
    with override_settings(REDISJOBS={**redisjobs, "URL": server.url}):
        for ask in (get_job("a").status, get_job("a").result, get_job("a").cancel):
            with pytest.raises(exceptions.ServerUnavailable, match=server.socket):
                ask()
