"""``EAGER``: no server is asked for anything. The one of these settings is not there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.test import TestCase, override_settings
from django.utils import translation

from django_redisjobs import JobStatus, exceptions, get_job, offline, signals, testing
from tests.unit.testing import jobs

EAGER = {
    "URL": "unix:///nonexistent/nobody-is-to-be-asked",
    "QUEUES": ["high", "default", "low"],
    "EAGER": True,
}


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    with override_settings(REDISJOBS=EAGER):
        yield


def test_a_job_has_run_when_delay_returns() -> None:
    handle = jobs.add.delay(1, b=5)

    assert handle.status() is handle.wait() is JobStatus.SUCCEEDED
    assert handle.result(timeout=0) == 6
    info = get_job(handle.id).info()
    assert (info.args, info.kwargs, info.result) == ((1,), {"b": 5}, 6)
    assert [(each.number, each.outcome) for each in info.attempts] == [(1, "succeeded")]
    assert info.started_at is not None
    assert info.finished_at is not None


def test_many_run_in_order() -> None:
    handles = jobs.add.delay_many([(1,), (2,), {"a": 3}])

    assert [handle.result() for handle in handles] == [3, 4, 5]


def test_what_a_job_raises_is_kept_and_logged_and_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handle = jobs.refuse.delay("no")

    with pytest.raises(exceptions.JobFailed, match="Refused: no") as hit:
        handle.result()
    assert "raise Refused(reason)" in hit.value.traceback
    (record,) = [each for each in caplog.records if each.name == "redisjobs.job"]
    assert record.levelno == logging.ERROR
    assert f"{jobs.refuse.path} {handle.id} failed: Refused: no" in record.message


def test_it_is_not_tried_again() -> None:
    handle = jobs.flaky.delay(1)

    assert handle.status() is JobStatus.FAILED
    assert len(handle.info().attempts) == 1
    assert handle.info().meta == {"tried": 1}


def test_unless_somebody_says_so(caplog: pytest.LogCaptureFixture) -> None:
    handle = jobs.refuse.delay()

    assert handle.retry() is True

    assert [each.run for each in offline.recall(handle.id).attempts] == [1, 2]  # type: ignore[union-attr]
    assert handle.cancel() is False
    assert handle.delete() is True
    with pytest.raises(exceptions.JobNotFound):
        handle.status()


def test_errors_of_the_call_are_errors() -> None:
    with pytest.raises(TypeError, match="Nothing was enqueued"):
        jobs.add.delay()
    with pytest.raises(exceptions.PayloadNotSerializable):
        jobs.give.delay(object())


def test_arguments_and_results_go_the_same_way_as_ever() -> None:
    given: dict[Any, Any] = {"a": [1, (2, 3)]}

    handle = jobs.give.delay(given)

    assert handle.result() == given
    assert handle.result() is not given
    assert jobs.unserializable.delay().status() is JobStatus.FAILED


def test_time_is_no_matter() -> None:
    assert jobs.add.using(run_after="1h", expires=1).delay(1).result() == 3


def test_jobs_of_jobs_run_too() -> None:
    handle = jobs.enqueue_more.delay(2)

    assert handle.status() is JobStatus.SUCCEEDED


def test_a_job_knows_itself() -> None:
    handle = jobs.whoami.using(queue="low").delay()

    assert handle.result() == [handle.id, jobs.whoami.path, "low", 1, 1]


def test_the_language_is_that_of_who_enqueued() -> None:
    with translation.override("de"):
        assert jobs.language.delay().result() == "de"


def test_an_unknown_id_is_not_found_without_asking_anybody() -> None:
    for ask in ("status", "info", "wait", "result", "cancel", "retry", "delete"):
        with pytest.raises(exceptions.JobNotFound):
            getattr(get_job("0" * 28), ask)()


def test_only_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    first = jobs.add.delay(1)
    jobs.add.delay_many([(number,) for number in range(offline.REMEMBERED)])

    with pytest.raises(exceptions.JobNotFound):
        first.status()


def test_an_exit_is_a_failure_and_an_interrupt_goes_through() -> None:
    assert jobs.leave.delay("exit").status() is JobStatus.FAILED
    with pytest.raises(KeyboardInterrupt):
        jobs.leave.delay("interrupt")


def test_coroutines_run_from_either_side() -> None:
    handle = jobs.call_back_in.delay()
    assert get_job(handle.result()).result() == 42

    async def enqueue() -> list[Any]:
        inner = await jobs.call_back_in.adelay()
        plain = await jobs.add.adelay(1)
        many = await jobs.add.adelay_many([(2,)])
        return [
            await get_job(await inner.aresult()).aresult(),
            await plain.aresult(),
            await many[0].aresult(),
        ]

    assert asyncio.run(enqueue()) == [42, 3, 4]


def test_a_coroutine_job_from_a_loop_by_the_wrong_door_fails_and_says_so() -> None:
    async def enqueue() -> Any:
        return jobs.call_back_in.delay()

    handle = asyncio.run(enqueue())

    assert handle.status() is JobStatus.FAILED
    assert "await" in handle.info().error


@pytest.mark.django_db
def test_so_does_one_that_uses_the_database() -> None:
    async def enqueue() -> Any:
        return jobs.create.delay("a")

    error = asyncio.run(enqueue()).info().error

    assert error.startswith("SynchronousOnlyOperation")


def test_receivers_are_told() -> None:
    told: list[Any] = []

    def receive(signal: Any, sender: Any, **_: Any) -> None:
        told.append((signal, sender))

    wanted = [signals.job_enqueued, signals.job_started, signals.job_failed]
    for signal in wanted:
        signal.connect(receive)
    try:
        jobs.flaky.delay(1)
    finally:
        for signal in wanted:
            signal.disconnect(receive)

    assert told == [(signal, jobs.flaky) for signal in wanted]


@pytest.mark.django_db
def test_signed_jobs_and_their_callbacks_run() -> None:
    signing = {**EAGER, "SIGNING_KEYS": ["k" * 40]}
    with override_settings(REDISJOBS=signing):
        well = jobs.with_callbacks.using(on_commit=False).delay(well=True)
        with testing.captured_jobs() as captured:
            bad = jobs.with_callbacks.using(on_commit=False).delay(well=False)
            captured.run(raise_errors=False)

    assert set(Group.objects.values_list("name", flat=True)) == {
        f"done {well.id}",
        f"failed {bad.id}",
    }


class AtCommit(TestCase):
    def test_nothing_runs_before_the_commit(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            with transaction.atomic():
                handle = jobs.add.delay(1)
                with pytest.raises(exceptions.JobNotFound):
                    handle.status()
            with pytest.raises(jobs.Refused), transaction.atomic():
                gone = jobs.add.delay(2)
                raise jobs.Refused

        assert handle.result() == 3
        with pytest.raises(exceptions.JobNotFound):
            gone.status()

    def test_what_must_not_wait_does_not(self) -> None:
        assert jobs.add.using(on_commit=False).delay(1).result() == 3

    def test_rows_are_those_of_the_test(self) -> None:
        group = Group.objects.create(name="a")
        with self.captureOnCommitCallbacks(execute=True):
            handle = jobs.rename.delay(group, name="b")
            coroutine = jobs.greet.delay(group)

        assert handle.result() == "a"
        assert coroutine.result() == "hello b"

    def test_what_the_database_refuses_to_a_job_is_no_trouble_of_the_test(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            Group.objects.create(name="of the test")
            refused = jobs.create_twice.delay("a")
            after = jobs.create.delay("b")

        assert refused.status() is JobStatus.FAILED
        assert after.status() is JobStatus.SUCCEEDED
        assert set(Group.objects.values_list("name", flat=True)) == {"of the test", "b"}

    def test_callbacks_run(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            good = jobs.with_callbacks.delay(well=True)
            bad = jobs.with_callbacks.delay(well=False)

        assert set(Group.objects.values_list("name", flat=True)) == {
            f"done {good.id}",
            f"failed {bad.id}",
        }

    def test_run_jobs_commits_for_the_test(self) -> None:
        handle = jobs.add.delay(1)

        assert testing.run_jobs() == []
        assert handle.result() == 3


@pytest.mark.parametrize("function", [jobs.leave_traces, jobs.leave_traces_async])
def test_what_a_job_sets_in_its_context_is_not_the_callers(function: Any) -> None:
    async def enqueue() -> tuple[str, str | None]:
        assert (await function.adelay()).status() is JobStatus.SUCCEEDED
        return jobs.TRACE.get(), translation.get_language()

    def enqueue_in_a_thread() -> tuple[str, str | None]:
        assert function.delay().status() is JobStatus.SUCCEEDED
        return jobs.TRACE.get(), translation.get_language()

    with translation.override("fr"):
        assert asyncio.run(enqueue()) == ("", "fr")
        assert copy_context().run(enqueue_in_a_thread) == ("", "fr")


@pytest.mark.parametrize("yielding", [True, False])
def test_who_is_cancelled_while_a_job_runs_is_cancelled(
    *, yielding: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "WAITS", asyncio.Event())

    async def enqueue() -> None:
        task = asyncio.create_task(jobs.wait_for_ever.adelay(yielding=yielding))
        await jobs.WAITS.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await jobs.wait_for_ever.adelay(yielding=yielding)

    asyncio.run(enqueue())
    ended = JobStatus.FAILED if yielding else JobStatus.SUCCEEDED
    assert {each.status for each in list(offline._latest)[-2:]} == {ended}
