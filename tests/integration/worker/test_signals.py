"""Who wants to know is told what became of a job, and cannot harm it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any, ClassVar

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.test import override_settings

from django_redisjobs import JobStatus, Worker, exceptions, signals
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

pytestmark = pytest.mark.usefixtures("redisjobs")

ALL = (
    signals.job_started,
    signals.job_succeeded,
    signals.job_failed,
    signals.job_retried,
    signals.job_cancelled,
    signals.worker_started,
    signals.worker_stopped,
)
NAMES = {
    id(signal): name
    for name, signal in vars(signals).items()
    if any(signal is each for each in ALL)
}


CONTEXT: ContextVar[str] = ContextVar("context", default="")


class Counted(LocMemCache):
    """Tells how many there are, as who connects to a server would."""

    made: ClassVar[list[str]] = []

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__(name, params)
        self.made.append(name)


@pytest.fixture
def connect() -> Iterator[Callable[..., None]]:
    """Connect a receiver for the time of the test."""
    connected = []

    def begin(signal: Any, receiver: Callable[..., Any], sender: Any = None) -> None:
        signal.connect(receiver, sender=sender, weak=False)
        connected.append((signal, receiver, sender))

    yield begin
    for signal, receiver, sender in connected:
        assert signal.disconnect(receiver, sender=sender)


def test_what_a_worker_sets_as_it_starts_is_there_for_all_its_jobs(
    connect: Callable[..., None],
) -> None:
    seen: list[str] = []
    connect(signals.worker_started, lambda **_: CONTEXT.set("everybody's"))
    connect(signals.job_started, lambda **_: seen.append(CONTEXT.get()))

    jobs.add.delay(1, 1)
    jobs.nap_async.delay(0)
    copy_context().run(burst)

    assert seen == ["everybody's"] * 2


def burst() -> None:
    Worker(processes=0, burst=True, name="w").run()


@pytest.fixture
def told(connect: Callable[..., None]) -> list[tuple[str, Any, dict[str, Any]]]:
    """What everybody was told: signal, sender, the rest."""
    heard: list[tuple[str, Any, dict[str, Any]]] = []

    def receive(sender: Any, signal: Any, **news: Any) -> None:
        heard.append((NAMES[id(signal)], sender, news))

    for signal in ALL:
        connect(signal, receive)
    return heard


def test_a_job_that_succeeds(told: Any) -> None:
    handle = jobs.add.using(queue="low").delay(1, 2)

    burst()

    news = {"job_id": handle.id, "queue": "low", "attempt": 1, "run": 1}
    assert told[1:-1] == [
        ("job_started", jobs.add, news),
        ("job_succeeded", jobs.add, {**news, "result": 3}),
    ]


def test_a_worker_says_when_it_begins_and_ends(told: Any) -> None:
    burst()

    queues = ("high", "default", "low")
    assert told == [
        ("worker_started", None, {"worker": "w", "queues": queues}),
        ("worker_stopped", None, {"worker": "w", "queues": queues}),
    ]


def test_a_job_that_fails_for_good(told: Any) -> None:
    jobs.fail.delay("no")

    burst()

    name, sender, news = told[2]
    assert (name, sender) == ("job_failed", jobs.fail)
    assert isinstance(news["exception"], ValueError)


def test_a_job_that_is_retried(told: Any) -> None:
    handle = jobs.flaky.delay(1)

    while handle.status() is not JobStatus.SUCCEEDED:
        burst()

    heard = [(name, news.get("attempt")) for name, sender, news in told if sender]
    assert heard == [
        ("job_started", 1),
        ("job_retried", 1),
        ("job_started", 2),
        ("job_succeeded", 2),
    ]


def test_a_job_that_is_cancelled_while_it_runs(told: Any) -> None:
    worker = Worker(processes=0)
    thread = threading.Thread(target=worker.run)
    thread.start()
    handle = jobs.spin.delay(60)
    until(lambda: handle.status() is JobStatus.RUNNING)

    handle.cancel()
    handle.wait(timeout=60)
    worker.stop()
    thread.join(60)

    (cancelled,) = [each for each in told if each[0] == "job_cancelled"]
    assert cancelled[1] is jobs.spin
    assert isinstance(cancelled[2]["exception"], exceptions.JobInterrupted)


def test_a_receiver_that_fails_does_not_keep_a_job_from_being_cancelled(
    connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("a receiver's own trouble")

    connect(signals.job_cancelled, fail)
    worker = Worker(processes=0)
    thread = threading.Thread(target=worker.run)
    thread.start()
    handle = jobs.spin.delay(60)
    until(lambda: handle.status() is JobStatus.RUNNING)

    with caplog.at_level(logging.ERROR, "django.dispatch"):
        handle.cancel()
        status = handle.wait(timeout=60)
        after = jobs.add.delay(1, 1).result(timeout=60)
    worker.stop()
    thread.join(60)

    assert (status, after) == (JobStatus.CANCELLED, 2)
    assert "a receiver's own trouble" in caplog.text


def test_a_job_whose_function_is_unknown_has_no_sender(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is parked: nobody is told of that, and nothing breaks."""
    monkeypatch.setattr(jobs.add, "path", "tests.nowhere.gone")
    handle = jobs.add.delay(1, 2)

    burst()

    assert handle.status() is JobStatus.PARKED
    assert [name for name, *_ in told] == ["worker_started", "worker_stopped"]


def test_receivers_may_choose_a_job_function(connect: Callable[..., None]) -> None:
    heard: list[Any] = []
    connect(
        signals.job_succeeded,
        lambda sender, result, **_: heard.append((sender, result)),
        sender=jobs.add,
    )
    jobs.add.using(priority=3).delay(1, 2)
    jobs.language.delay()
    jobs.add.delay_many([(3, 4)])

    burst()

    assert heard == [(jobs.add, 3), (jobs.add, 7)]


@pytest.mark.parametrize("signal", ALL, ids=lambda signal: NAMES[id(signal)])
def test_a_receiver_that_fails_hurts_nobody(
    connect: Callable[..., None], signal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("a receiver's own trouble")

    connect(signal, fail)
    good, bad, slow = jobs.add.delay(1, 2), jobs.fail.delay("x"), jobs.flaky.delay(1)

    with caplog.at_level(logging.ERROR, "django.dispatch"):
        while slow.status() is not JobStatus.SUCCEEDED:
            burst()

    assert good.result(timeout=0) == 3
    assert bad.info().error == "ValueError: x"
    if signal is not signals.job_cancelled:
        assert "a receiver's own trouble" in caplog.text


def test_receivers_of_coroutine_jobs_may_be_of_any_kind(
    connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[str, bool]] = []

    def plain(**_: Any) -> None:
        heard.append(("plain", is_in_loop()))

    async def coroutine(**_: Any) -> None:
        heard.append(("coroutine", await sync_to_async(is_in_loop)()))

    connect(signals.job_started, plain)
    connect(signals.job_succeeded, coroutine)
    handle = jobs.sleep_async.delay(0.001, "slept")

    burst()

    assert handle.result(timeout=0) == "slept"
    assert heard == [("plain", False), ("coroutine", False)]
    assert "Error calling" not in caplog.text


def is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("threads", [1, 2])
def test_receivers_of_one_run_share_a_context_and_of_all_runs_the_caches(
    connect: Callable[..., None], threads: int
) -> None:
    """What is set as a job starts can be reset as it ends, and no job connects anew."""
    seen: list[str] = []

    def started(job_id: str, **_: Any) -> None:
        seen.append(CONTEXT.get())
        CONTEXT.set(job_id)
        caches["counted"].get("x")

    def succeeded(job_id: str, **_: Any) -> None:
        seen.append("same" if CONTEXT.get() == job_id else "another")

    connect(signals.job_started, started)
    connect(signals.job_succeeded, succeeded)
    counted = {"BACKEND": f"{__name__}.Counted", "LOCATION": "counted"}
    Counted.made.clear()
    with override_settings(CACHES={"default": counted, "counted": counted}):
        for number in range(10):
            jobs.add.delay(number, 1)
        Worker(processes=0, threads=threads, burst=True).run()

    assert seen.count("same") == 10
    assert seen.count("") == 10
    # Two for each thread that runs jobs.
    assert len(Counted.made) <= 2 * threads + 2
