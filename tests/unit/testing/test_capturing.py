"""``captured_jobs()`` in the tests that people write, without any server.

The settings of these tests name a server that is not there: whoever asks it fails.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, connection, transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings
from django.test.utils import isolate_apps
from django.utils import translation

from django_redisjobs import (
    JobStatus,
    Retry,
    enqueue,
    exceptions,
    get_job,
    get_queue,
    signals,
    testing,
)
from django_redisjobs.testing import captured_jobs
from django_redisjobs.testing.capturing import active_capture
from tests.unit.testing import jobs


@contextmanager
def in_an_hour() -> Iterator[None]:
    """The clock is put forward, as libraries do that travel in time."""
    then = time.time_ns() + 3600 * 10**9
    with mock.patch("time.time_ns", return_value=then):
        yield


class WithoutDatabase(SimpleTestCase):
    def test_what_is_captured(self):
        with captured_jobs() as captured:
            handle = jobs.add.delay(1, b=3)

        (found,) = captured
        assert (found.id, found.handle) == (handle.id, handle)
        assert found.function is jobs.add
        assert found.path == "tests.unit.testing.jobs.add"
        assert (found.args, found.kwargs) == ((1,), {"b": 3})
        assert (found.queue, found.options) == ("default", {})
        assert repr(found) == "tests.unit.testing.jobs.add(1, b=3) in default"

    def test_nothing_is_captured(self):
        with captured_jobs() as captured:
            pass

        assert len(captured) == 0
        assert not captured
        captured.assert_no_jobs()

    def test_what_a_call_chooses(self):
        due = datetime(2040, 1, 2, tzinfo=UTC)
        retry = Retry(max=7, base=5)
        with captured_jobs() as captured:
            jobs.add.using(
                queue="low",
                run_after="5m",
                priority=3,
                expires=90,
                timeout="1m",
                retry=retry,
                result_ttl="2h",
            ).delay(1)
            jobs.add.using(run_after=due).delay(1)

        assert captured[0].function is jobs.add
        assert captured[0].queue == "low"
        assert captured[0].options == {
            "run_after": 300.0,
            "priority": 3,
            "expires": 90.0,
            "timeout": 60.0,
            "retry": retry,
            "result_ttl": 7200.0,
        }
        assert captured[1].options == {"run_after": due}

    def test_every_way_of_enqueueing(self):
        with captured_jobs() as captured:
            jobs.add.delay(1)
            jobs.add.delay_many([(2,), {"a": 3}])
            enqueue("tests.unit.testing.jobs.add", 4)
            get_queue("low").enqueue(jobs.add, 5)
            get_queue("low").enqueue_in("1h", jobs.add, 6)

        assert [each.args or each.kwargs["a"] for each in captured] == [
            (1,), (2,), 3, (4,), (5,), (6,),
        ]  # fmt: skip
        assert [each.queue for each in captured[-2:]] == ["low", "low"]

    async def test_enqueueing_from_coroutines(self):
        with captured_jobs() as captured:
            await jobs.add.adelay(1)
            await jobs.add.adelay_many([(2,), (3,)])

        assert [each.args for each in captured] == [(1,), (2,), (3,)]

    def test_jobs_of_other_threads(self):
        with captured_jobs() as captured:
            thread = threading.Thread(target=jobs.add.delay, args=(1,))
            thread.start()
            thread.join()

        captured.assert_enqueued(jobs.add, args=(1,))

    def test_the_innermost_captures(self):
        with captured_jobs() as outer:
            jobs.add.delay(1)
            with captured_jobs() as inner:
                jobs.add.delay(2)
            jobs.add.delay(3)

        assert [each.args for each in inner] == [(2,)]
        assert [each.args for each in outer] == [(1,), (3,)]

    def test_afterwards_jobs_are_sent_again(self):
        with pytest.raises(ZeroDivisionError), captured_jobs():
            raise ZeroDivisionError

        with pytest.raises(exceptions.EnqueueError):
            jobs.add.delay(1)

    def test_errors_of_the_call_are_errors(self):
        with captured_jobs() as captured:
            for wrong in (jobs.add.delay, lambda: jobs.add.delay(1, c=2)):
                with pytest.raises(TypeError, match="Nothing was enqueued"):
                    wrong()
            with pytest.raises(exceptions.PayloadNotSerializable):
                jobs.give.delay(object())
            with pytest.raises(exceptions.UnknownQueue):
                jobs.add.using(queue="hihg").delay(1)

        captured.assert_no_jobs()

    def test_arguments_are_those_that_arrive(self):
        given = {"at": datetime(2026, 1, 1, tzinfo=UTC), "pair": (1, 2), 3: {4}}
        with captured_jobs() as captured:
            jobs.give.delay(given)
        given["at"] = None

        (arrived,) = captured[0].args
        assert arrived == {
            "at": datetime(2026, 1, 1, tzinfo=UTC),
            "pair": (1, 2),
            3: {4},
        }

    def test_receivers_are_told(self):
        told: list[Any] = []

        def receive(sender: Any, handle: Any, **_: Any) -> None:
            told.append((sender, handle.status()))

        signals.job_enqueued.connect(receive)
        try:
            with captured_jobs() as captured:
                jobs.add.delay(1)
            captured.run()
        finally:
            signals.job_enqueued.disconnect(receive)

        assert told == [(jobs.add, JobStatus.PENDING)]


class Asserting(SimpleTestCase):
    def setUp(self):
        with captured_jobs() as self.captured:
            jobs.add.delay(1)
            jobs.add.delay(a=1, b=3)
            jobs.add.using(queue="low").delay(1)
            jobs.language.delay()

    def test_a_function_is_enough(self):
        assert len(self.captured.assert_enqueued(jobs.add)) == 3
        assert len(self.captured.assert_enqueued("tests.unit.testing.jobs.add")) == 3
        assert len(self.captured.assert_enqueued(jobs.add.using(queue="low"))) == 3

    def test_arguments_are_compared_as_the_function_gets_them(self):
        for args, kwargs in [
            ((1, 3), None),
            ((1,), {"b": 3}),
            (None, {"a": 1, "b": 3}),
        ]:
            (found,) = self.captured.assert_enqueued(
                jobs.add, args=args, kwargs=kwargs, count=1
            )
            assert found.kwargs == {"a": 1, "b": 3}
        assert len(self.captured.assert_enqueued(jobs.add, args=[1], count=2)) == 2
        self.captured.assert_enqueued(jobs.add, args=(mock.ANY, 3))
        self.captured.assert_enqueued(jobs.language, args=(), kwargs={}, count=1)

    def test_queue_and_count(self):
        self.captured.assert_enqueued(jobs.add, queue="low", count=1)
        self.captured.assert_enqueued(jobs.add, args=(5,), count=0)
        self.captured.assert_enqueued(jobs.refuse, count=0)

    def test_what_is_missing_is_said_with_what_was_there(self):
        with pytest.raises(AssertionError) as hit:
            self.captured.assert_enqueued(jobs.add, args=(5,), queue="low")

        text = str(hit.value)
        assert "jobs.add(5) in low should have been enqueued at least once" in text
        assert "was 0 times. Captured:\n- tests.unit.testing.jobs.add(1)" in text
        assert "\n- tests.unit.testing.jobs.language() in default" in text

    def test_a_count_that_is_wrong(self):
        for wrong in (
            lambda: self.captured.assert_enqueued(jobs.add, count=2),
            lambda: self.captured.assert_enqueued(jobs.refuse),
            self.captured.assert_no_jobs,
        ):
            with pytest.raises(AssertionError):
                wrong()

    def test_nothing_captured_is_said(self):
        with captured_jobs() as captured:
            pass
        with pytest.raises(AssertionError, match="Nothing was captured"):
            captured.assert_enqueued(jobs.add)

    def test_what_is_no_job_function_is_an_error_of_the_test(self):
        with pytest.raises(TypeError, match="no job function"):
            self.captured.assert_enqueued(print)
        with pytest.raises(exceptions.UnknownJobFunction):
            self.captured.assert_enqueued("tests.unit.testing.jobs.ad")
        with pytest.raises(TypeError, match="missing a required argument"):
            self.captured.assert_enqueued(jobs.add, args=())

    def test_those_of_one_function(self):
        assert [each.queue for each in self.captured.of(jobs.add)] == [
            "default",
            "default",
            "low",
        ]
        assert self.captured.of("tests.unit.testing.jobs.refuse") == []


class InsideATransaction(TestCase):
    def test_jobs_that_wait_for_the_commit_are_seen(self):
        with captured_jobs() as captured:
            jobs.add.delay(1)
            with transaction.atomic():
                jobs.add.delay(2)
                assert len(captured) == 2

        assert [each.args for each in captured] == [(1,), (2,)]

    def test_what_is_rolled_back_is_not(self):
        with captured_jobs() as captured:
            with pytest.raises(jobs.Refused), transaction.atomic():
                handle = jobs.add.delay(1)
                raise jobs.Refused
            jobs.add.delay(2)
            assert len(captured) == 1

        assert [each.args for each in captured] == [(2,)]
        with pytest.raises(exceptions.ServerUnavailable):
            handle.status()

    def test_a_rollback_afterwards_changes_nothing_any_more(self):
        with pytest.raises(jobs.Refused), transaction.atomic():
            with captured_jobs() as captured:
                jobs.add.delay(1)
            raise jobs.Refused

        assert len(captured) == 1

    def test_together_with_captured_hooks(self):
        with (
            captured_jobs(execute=True) as captured,
            self.captureOnCommitCallbacks(execute=True) as hooks,
        ):
            handle = jobs.add.delay(1)

        assert len(hooks) == len(captured) == 1
        assert handle.result() == 3
        assert len(handle.info().attempts) == 1

    def test_hooks_that_run_later_send_nothing(self):
        with (
            self.captureOnCommitCallbacks(execute=True),
            captured_jobs() as captured,
        ):
            jobs.add.delay(1)
        assert len(captured) == 1

    def test_model_instances_are_fetched(self):
        group = Group.objects.create(name="a")
        with captured_jobs() as captured:
            jobs.rename.delay(group, name="b")
        Group.objects.update(name="later")

        assert captured[0].args[0] == group
        assert captured[0].args[0].name == "later"
        captured.assert_enqueued(jobs.rename, args=(group,), kwargs={"name": "b"})
        with self.assertNumQueries(0):
            assert "ModelReference" in repr(captured[0])

    def test_rows_that_are_gone_hide_no_job(self):
        gone, group = Group.objects.create(name="a"), Group.objects.create(name="b")
        with captured_jobs() as captured:
            for each in (gone, group):
                jobs.rename.delay(each, name="c")
        Group.objects.filter(pk=gone.pk).delete()

        for each in (group, gone):
            captured.assert_enqueued(
                jobs.rename, args=(each,), kwargs={"name": "c"}, count=1
            )
            captured.assert_enqueued(
                jobs.rename, args=(each,), kwargs={"name": "d"}, count=0
            )
        captured.assert_enqueued(
            jobs.rename, args=(mock.ANY,), kwargs={"name": "c"}, count=2
        )

    @isolate_apps("django.contrib.auth")
    async def test_rows_are_compared_in_async_tests(self):
        class Crowd(Group):
            class Meta:
                proxy = True
                app_label = "auth"

        group, other = [await Group.objects.acreate(name=name) for name in "ab"]
        with captured_jobs() as captured:
            await jobs.give.adelay([group, 3])
            await jobs.give.adelay({"all": {group, other}})

        crowd = await Crowd.objects.aget(pk=group.pk)
        for same in ([group, 3], [crowd, 3], [mock.ANY, 3], {"all": {other, group}}):
            captured.assert_enqueued(jobs.give, args=(same,), count=1)
        user = User(pk=group.pk)
        for another in ([other, 3], [user, 3], [group, 4], {"all": {group}}):
            captured.assert_enqueued(jobs.give, args=(another,), count=0)


class CapturedForTheClass(TestCase):
    """Django copies for each test what setUpTestData keeps on the class."""

    @classmethod
    def setUpTestData(cls):
        cls.function = jobs.flaky
        with captured_jobs() as cls.captured:
            cls.handle = jobs.flaky.delay(1)

    def test_each_test_runs_them_for_itself(self):
        assert self.handle.status() is JobStatus.PENDING
        assert self.captured.assert_enqueued(self.function)

        first, second = self.captured.run(scheduled=True)

        assert (first.status, second.result) == (JobStatus.SCHEDULED, 2)
        assert self.handle.result() == 2
        assert len(self.handle.info().attempts) == 2

    test_whatever_another_one_did = test_each_test_runs_them_for_itself


class CapturedWithinTheClass(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.captured = cls.enterClassContext(captured_jobs())
        cls.handle = jobs.add.using(on_commit=False).delay(1)

    def test_it_is_the_one_that_captures(self):
        jobs.add.delay(2)
        assert len(self.captured) == 2

        self.captured.run()
        assert self.handle.result() == 3


class OfSeveralDatabases(TestCase):
    databases = {"default", "other"}

    def test_what_another_one_rolls_back_is_not_captured(self):
        with captured_jobs() as captured:
            with suppress(jobs.Refused), transaction.atomic(using="other"):
                jobs.add.delay(1)
                raise jobs.Refused
            with transaction.atomic(using="other"):
                jobs.add.delay(2)

        assert [each.args for each in captured] == [(2,)]

    def test_the_default_one_comes_first(self):
        with captured_jobs() as captured:
            with suppress(jobs.Refused), transaction.atomic():
                with transaction.atomic(using="other"):
                    jobs.add.delay(1)
                raise jobs.Refused
            with suppress(jobs.Refused), transaction.atomic(using="other"):
                with transaction.atomic():
                    jobs.add.delay(2)
                raise jobs.Refused

        assert [each.args for each in captured] == [(2,)]


@contextmanager
def job_with_a_hook() -> Iterator[list[str]]:
    """``jobs.language`` leaves a hook to the commit, which tells here that it ran."""
    told: list[str] = []

    def leave_hook() -> None:
        transaction.on_commit(lambda: told.append("x"))

    with mock.patch.object(jobs.language, "function", leave_hook):
        yield told


class Executing(TestCase):
    def test_jobs_run_at_the_end_and_see_the_rows_of_the_test(self):
        group = Group.objects.create(name="a")
        with captured_jobs(execute=True):
            handle = jobs.rename.delay(group, name="b")
            assert handle.status() is JobStatus.PENDING

        group.refresh_from_db()
        assert group.name == "b"
        assert handle.result() == "a"
        assert handle.wait() is JobStatus.SUCCEEDED

    def test_coroutines_see_them_too(self):
        group = Group.objects.create(name="a")
        with captured_jobs(execute=True):
            renamed = jobs.rename_async.delay(group.pk, "b")
            greeted = jobs.greet.delay(group)

        group.refresh_from_db()
        assert (group.name, renamed.result()) == ("b", "a")
        assert greeted.result() == "hello b"

    async def test_from_an_async_test(self):
        group = await Group.objects.acreate(name="a")
        with captured_jobs() as captured:
            handle = await jobs.rename_async.adelay(group.pk, "b")
            plain = await jobs.rename.adelay(group, name="c")

        outcomes = await captured.arun()

        assert [each.result for each in outcomes] == ["a", "b"]
        assert await handle.aresult() == "a"
        assert await plain.astatus() is JobStatus.SUCCEEDED

    async def test_at_the_end_of_an_async_block(self):
        group = await Group.objects.acreate(name="a")
        async with captured_jobs(execute=True) as captured:
            handle = await jobs.rename_async.adelay(group.pk, "b")
            plain = await jobs.rename.adelay(group, name="c")

        assert [await each.aresult() for each in (handle, plain)] == ["a", "b"]
        assert len(captured) == 2

    async def test_nothing_runs_after_an_async_block_that_failed(self):
        with pytest.raises(jobs.Refused):
            async with captured_jobs(execute=True):
                handle = await jobs.add.adelay(1)
                raise jobs.Refused

        assert await handle.astatus() is JobStatus.PENDING

    async def test_an_event_loop_runs_none_and_what_to_write_is_said(self):
        with (
            pytest.raises(RuntimeError, match=r"async with captured_jobs\(execute"),
            captured_jobs(execute=True),
        ):
            raise AssertionError("not to be reached")
        with captured_jobs() as captured:
            await jobs.add.adelay(1)
            with pytest.raises(RuntimeError, match=r"await arun_jobs\(\)"):
                testing.run_jobs()
        with pytest.raises(RuntimeError, match=r"await captured\.arun\(\)"):
            captured.run()

    def test_as_a_decorator(self):
        @captured_jobs(execute=True)
        def enqueue_one():
            return jobs.add.delay(1)

        assert [enqueue_one().result() for _ in range(2)] == [3, 3]

    async def test_as_a_decorator_of_a_coroutine_function(self):
        @captured_jobs()
        async def enqueue_one():
            return await jobs.add.adelay(1)

        @captured_jobs(execute=True)
        async def enqueue_and_run(*, a):
            return await jobs.add.adelay(a)

        assert await (await enqueue_one()).astatus() is JobStatus.PENDING
        results = [await (await enqueue_and_run(a=1)).aresult() for _ in range(2)]
        assert results == [3, 3]

    @captured_jobs(execute=True)
    async def test_as_a_decorator_of_an_async_test(self):
        await jobs.add.adelay(1)

        (found,) = active_capture()
        assert found.args == (1,)

    def test_everything_of_an_outcome(self):
        with captured_jobs() as captured:
            handle = jobs.whoami.using(queue="low").delay()

        (outcome,) = captured.run()

        path = "tests.unit.testing.jobs.whoami"
        assert (outcome.id, outcome.function, outcome.queue) == (handle.id, path, "low")
        assert (outcome.attempt, outcome.status) == (1, JobStatus.SUCCEEDED)
        assert outcome.exception is None
        assert outcome.result == [handle.id, path, "low", 1, 1]

    def test_what_jobs_enqueue_runs_too(self):
        with captured_jobs(execute=True) as captured:
            jobs.enqueue_more.delay(3)

        captured.assert_enqueued(jobs.add, count=3)
        assert {each.handle.status() for each in captured} == {JobStatus.SUCCEEDED}

    def test_a_job_without_an_end_is_stopped(self):
        with captured_jobs() as captured:
            jobs.again.delay()

        with pytest.raises(RuntimeError, match="After 50 attempts"):
            captured.run(limit=50)

    def test_what_the_first_job_raised_is_raised_after_all_have_run(self):
        with (
            pytest.raises(jobs.Refused, match="first") as hit,
            captured_jobs(execute=True) as captured,
        ):
            jobs.add.delay(1)
            first = jobs.refuse.delay("first")
            jobs.refuse.delay("second")
            last = jobs.add.delay(2)

        assert last.result() == 4
        (note,) = hit.value.__notes__
        assert first.id in note
        assert "is failed after this, and 1 other jobs did not succeed" in note
        assert len(captured) == 4

    def test_failures_may_be_looked_at(self):
        with captured_jobs() as captured:
            handle = jobs.refuse.delay("no")
            coroutine = jobs.refuse_async.delay()

        outcomes = captured.run(raise_errors=False)

        assert [each.status for each in outcomes] == [JobStatus.FAILED] * 2
        assert isinstance(outcomes[0].exception, jobs.Refused)
        assert isinstance(outcomes[1].exception, jobs.Refused)
        with pytest.raises(exceptions.JobFailed, match="Refused: no") as hit:
            handle.result()
        assert "raise Refused(reason)" in hit.value.traceback
        assert handle.info().error == "Refused: no"
        assert coroutine.info().attempts[0].outcome == "failed"

    def test_a_retry_is_not_silent_and_not_immediate(self):
        with captured_jobs() as captured:
            handle = jobs.flaky.delay(1)

        with pytest.raises(ConnectionError, match="attempt 1") as hit:
            captured.run()

        assert "is scheduled after this" in hit.value.__notes__[0]
        assert handle.status() is JobStatus.SCHEDULED
        assert captured.run() == []

    def test_retries_run_with_what_is_scheduled(self):
        with captured_jobs() as captured:
            handle = jobs.flaky.delay(2)

        outcomes = captured.run(scheduled=True)

        assert [(each.attempt, each.status) for each in outcomes] == [
            (1, JobStatus.SCHEDULED),
            (2, JobStatus.SCHEDULED),
            (3, JobStatus.SUCCEEDED),
        ]
        assert handle.result() == 3
        info = handle.info()
        assert [each.outcome for each in info.attempts] == [
            "failed",
            "failed",
            "succeeded",
        ]
        assert info.meta == {"tried": 3}

    def test_retries_come_to_their_end(self):
        with captured_jobs() as captured:
            handle = jobs.flaky.delay(5)

        with pytest.raises(ConnectionError, match="attempt 3"):
            captured.run(scheduled=True)
        assert handle.status() is JobStatus.FAILED

    def test_scheduled_jobs_wait_for_their_time(self):
        with captured_jobs() as captured:
            soon = jobs.add.using(run_after="5m").delay(1)
            late = jobs.add.using(
                run_after=datetime.now(tz=UTC) + timedelta(days=2)
            ).delay(2)

        assert captured.run() == []
        assert soon.status() is JobStatus.SCHEDULED
        assert captured.run(scheduled="4m") == []
        assert len(captured.run(scheduled=timedelta(minutes=6))) == 1
        assert soon.result() == 3
        when = datetime.now(tz=UTC) + timedelta(days=3)
        assert len(captured.run(scheduled=when)) == 1
        assert late.result() == 4
        with pytest.raises(ValueError, match="time zone"):
            captured.run(scheduled=datetime(2040, 1, 1))  # noqa: DTZ001

    def test_what_could_not_start_in_time_expires(self):
        told: list[str] = []

        def receive(job_id: str, **_: Any) -> None:
            told.append(job_id)

        signals.job_enqueued.connect(receive)
        with captured_jobs() as captured:
            late = jobs.add.using(expires="5m").delay(1)
            others = [
                jobs.add.using(expires="5m", run_after="58m").delay(2),
                jobs.add.using(expires="2h").delay(3),
                jobs.add.using(expires="5m", run_after="2h").delay(4),
            ]
        with in_an_hour():
            outcomes = captured.run(scheduled=True)
        signals.job_enqueued.disconnect(receive)

        assert [each.id for each in outcomes] == [each.id for each in others]
        assert late.status() is JobStatus.EXPIRED
        with pytest.raises(exceptions.JobExpired, match="nobody started it in time"):
            late.result()
        info = late.info()
        assert (info.error, info.attempts) == ("expired before it could start", ())
        assert info.finished_at is not None
        assert late.id in told

        assert late.retry() is True
        with in_an_hour():
            assert len(captured.run()) == 1
        assert late.result() == 3

    def test_what_started_in_time_is_finished_however_late(self):
        with captured_jobs() as captured:
            handle = jobs.flaky.using(expires="5m").delay(1)
        captured.run(raise_errors=False)

        with in_an_hour():
            captured.run(scheduled=True)

        assert handle.result() == 2

    def test_only_some_queues(self):
        with captured_jobs() as captured:
            low = jobs.add.using(queue="low").delay(1)
            other = jobs.add.delay(1)

        captured.run("low", "high")

        assert (low.status(), other.status()) == (
            JobStatus.SUCCEEDED,
            JobStatus.PENDING,
        )

    def test_a_queue_that_is_nowhere(self):
        with captured_jobs() as captured:
            jobs.add.delay(1)
            for run in (captured.run, testing.run_jobs):
                with pytest.raises(exceptions.UnknownQueue, match="mean 'high'"):
                    run("hihg")
                with pytest.raises(TypeError, match=r"is a str, not \['high'\]"):
                    run(["high"])
        with (
            override_settings(REDISJOBS={"EAGER": True}),
            pytest.raises(exceptions.UnknownQueue),
        ):
            testing.run_jobs("high")

    def test_callbacks_run(self):
        with captured_jobs() as captured:
            good = jobs.with_callbacks.delay(well=True)
            bad = jobs.with_callbacks.delay(well=False)

        captured.run(raise_errors=False)

        assert set(Group.objects.values_list("name", flat=True)) == {
            f"done {good.id}",
            f"failed {bad.id}",
        }
        captured.assert_enqueued(jobs.note_success, args=(good.id,), queue="default")
        (called,) = captured.assert_enqueued(
            jobs.note_failure, args=(bad.id,), queue="low"
        )
        assert called.options == {"priority": 5, "expires": 3600.0}

    def test_a_job_of_a_row_that_is_gone(self):
        group = Group.objects.create(name="a")
        with captured_jobs() as captured:
            discarded = jobs.discards.delay(group)
            failed = jobs.rename.delay(group, name="b")
        group.delete()

        with pytest.raises(exceptions.MissingInstance):
            captured.run()

        assert discarded.status() is JobStatus.CANCELLED
        assert failed.status() is JobStatus.FAILED

    def test_an_atomic_job_that_fails_leaves_nothing(self):
        with captured_jobs() as captured:
            jobs.write_and_refuse.delay("a")

        with pytest.raises(jobs.Refused):
            captured.run()
        assert not Group.objects.exists()

    def test_what_a_failing_transaction_of_a_job_enqueued_is_gone(self):
        for within, sent in ((False, [1, 2]), (True, [1])):
            with captured_jobs() as captured:
                jobs.enqueue_and_fail.delay(within=within)
            captured.run(raise_errors=False)

            assert [each.args[0] for each in captured.of(jobs.add)] == sent

    def test_hooks_of_a_job_run_as_in_a_worker(self):
        with job_with_a_hook() as told, captured_jobs(execute=True):
            jobs.language.delay()

        assert told == ["x"]

    def test_they_are_none_of_the_hooks_of_the_test(self):
        with (
            job_with_a_hook() as told,
            self.captureOnCommitCallbacks(execute=True) as callbacks,
        ):
            transaction.on_commit(lambda: told.append("own"))
            with captured_jobs(execute=True):
                jobs.language.using(on_commit=False).delay()
            assert told == ["x"]

        assert told == ["x", "own"]
        assert len(callbacks) == 1

    def test_a_result_that_cannot_be_stored_fails(self):
        with (
            pytest.raises(exceptions.PayloadNotSerializable),
            captured_jobs(execute=True),
        ):
            jobs.unserializable.delay()

    def test_the_language_of_who_enqueued(self):
        with captured_jobs(execute=True), translation.override("de"):
            handle = jobs.language.delay()

        assert handle.result() == "de"

    def test_an_interrupt_ends_it_all(self):
        with captured_jobs() as captured:
            stopped = jobs.leave.delay("interrupt")
            after = jobs.add.delay(1)

        with pytest.raises(KeyboardInterrupt):
            captured.run()
        assert stopped.status() is JobStatus.FAILED
        assert after.status() is JobStatus.PENDING

    def test_it_ends_a_coroutine_too(self):
        with captured_jobs() as captured:
            stopped = jobs.be_interrupted.delay("tidied up")

        with pytest.raises(KeyboardInterrupt):
            captured.run()
        assert stopped.status() is JobStatus.FAILED
        assert Group.objects.get().name == "tidied up"

    def test_a_job_that_exits_fails_alone(self):
        with captured_jobs() as captured:
            jobs.leave.delay("exit")
            after = jobs.add.delay(1)

        with pytest.raises(SystemExit):
            captured.run()
        assert after.result() == 3

    def test_run_jobs_runs_what_is_captured(self):
        with captured_jobs():
            handle = jobs.add.delay(1)
            assert len(testing.run_jobs()) == 1

        assert handle.result() == 3

    def test_nothing_is_logged_of_what_is_raised(self):
        with (
            self.assertNoLogs("redisjobs"),
            pytest.raises(jobs.Refused),
            captured_jobs(execute=True),
        ):
            jobs.refuse.delay()


@captured_jobs()
class DecoratedClass(SimpleTestCase):
    def setUp(self):
        jobs.add.delay(1)

    def tearDown(self):
        jobs.add.delay(3)
        assert [each.args for each in active_capture()] == [(1,), (2,), (3,)]

    def test_each_test_has_its_own(self):
        jobs.add.delay(2)

    async def test_an_async_one_too(self):
        await jobs.add.adelay(2)


def test_a_class_is_still_a_class_of_tests() -> None:
    assert isinstance(DecoratedClass, type)
    with pytest.raises(TypeError, match="TestCase classes, and NoTestCase is neither"):

        @captured_jobs()
        class NoTestCase:
            pass


@pytest.mark.parametrize("decorator", [captured_jobs, testing.memory_server])
def test_a_generator_is_no_block_of_code(decorator: Callable[..., Any]) -> None:
    def fixture() -> Iterator[None]:
        yield

    async def async_fixture() -> AsyncIterator[None]:
        yield

    for function in (fixture, async_fixture):
        with pytest.raises(TypeError, match="fixture is a generator function"):
            decorator()(function)


def test_a_class_says_itself_when_its_jobs_run() -> None:
    with pytest.raises(TypeError, match=r"Say run_jobs\(\) in its tests"):

        @captured_jobs(execute=True)
        class Tests(SimpleTestCase):
            pass


class RefusedByTheDatabase(TestCase):
    databases = {"default", "other"}

    def test_it_is_the_failure_of_one_attempt(self):
        Group.objects.create(name="of the test")
        with captured_jobs() as captured:
            refused = jobs.create_twice.delay("a")
            coroutine = jobs.create_twice_async.delay("b")
            elsewhere = jobs.create_twice.delay("c", using="other")
            after = jobs.create.delay("d")

        outcomes = captured.run(scheduled=True, raise_errors=False)

        assert after.status() is JobStatus.SUCCEEDED
        for handle in (refused, coroutine, elsewhere):
            tried = [each for each in outcomes if each.id == handle.id]
            assert [type(each.exception) for each in tried] == [IntegrityError] * 2
        names = set(Group.objects.values_list("name", flat=True))
        assert names == {"of the test", "d"}
        assert not Group.objects.using("other").exists()

    def test_what_it_enqueued_before_is_on_its_way(self):
        with captured_jobs() as captured:
            jobs.create_twice.delay("a")
        captured.run(raise_errors=False)

        (sent,) = captured.assert_enqueued(jobs.add)
        assert sent.args == (20,)
        assert sent.handle.result() == 22

    def test_receivers_can_use_the_database(self):
        def receive(exception: BaseException, **_: Any) -> None:
            Group.objects.create(name=type(exception).__name__)

        signals.job_retried.connect(receive)
        with captured_jobs() as captured:
            jobs.create_twice.delay("a")
        captured.run(raise_errors=False)
        signals.job_retried.disconnect(receive)

        assert Group.objects.get().name == "IntegrityError"

    def test_an_error_that_the_job_caught(self):
        def create_twice() -> None:
            with suppress(IntegrityError):
                jobs.create_twice("a")

        with (
            mock.patch.object(jobs.language, "function", create_twice),
            captured_jobs(execute=True),
        ):
            handle = jobs.language.delay()

        assert handle.status() is JobStatus.SUCCEEDED
        assert not Group.objects.exists()

    def test_all_else_stays_whatever_the_job_raised(self):
        with captured_jobs() as captured:
            jobs.create.delay("a")
            jobs.create.delay("b", well=False)
        captured.run(raise_errors=False)

        assert Group.objects.count() == 2

    def test_only_queries_of_the_job_are_counted(self):
        with captured_jobs() as captured:
            jobs.note_success.delay("x")

        with self.assertNumQueries(1):
            captured.run()

    def test_a_transaction_that_was_broken_before_stays_so(self):
        with captured_jobs() as captured:
            handle = jobs.add.delay(1)
        with pytest.raises(jobs.Refused), transaction.atomic():
            with suppress(IntegrityError):
                jobs.create_twice("a")
            captured.run()
            with pytest.raises(transaction.TransactionManagementError):
                Group.objects.exists()
            raise jobs.Refused

        assert handle.result() == 3


class Handles(SimpleTestCase):
    def test_a_job_that_waits(self):
        with captured_jobs() as captured:
            handle = jobs.add.using(priority=2).delay(1, b=5)

            info = get_job(handle.id).info()

            assert (info.id, info.function) == (handle.id, jobs.add.path)
            assert (info.queue, info.args, info.kwargs) == ("default", (1,), {"b": 5})
            assert (info.status, info.priority) == (JobStatus.PENDING, 2)
            assert info.enqueued_at is not None
            assert (info.due_at, info.attempts, info.result) == (None, (), None)
            for wait in (handle.wait, handle.result):
                with pytest.raises(
                    exceptions.ResultTimeout, match="captured by a test"
                ):
                    wait()
        captured.assert_enqueued(jobs.add)

    def test_cancelling(self):
        with captured_jobs() as captured:
            handle = jobs.add.delay(1)
            assert handle.cancel() is True
            assert handle.cancel() is False

        assert captured.run() == []
        with pytest.raises(exceptions.JobCancelled, match="while it waited"):
            handle.result()

    def test_a_job_that_cancels_itself_is_not_tried_again(self):
        def cancel_and_fail(failures: int) -> None:
            assert get_job(captured[0].id).cancel() is True
            raise ConnectionError

        with captured_jobs() as captured:
            handle = jobs.flaky.delay(1)
        with mock.patch.object(jobs.flaky, "function", cancel_and_fail):
            captured.run(raise_errors=False)

        assert handle.status() is JobStatus.CANCELLED

    def test_running_again(self):
        with captured_jobs() as captured:
            handle = jobs.add.delay(1)
        captured.run()

        assert handle.retry() is True
        assert handle.retry() is False
        assert handle.status() is JobStatus.PENDING
        assert len(captured.run()) == 1
        assert len(handle.info().attempts) == 2

    def test_forgetting(self):
        with captured_jobs():
            handle = jobs.add.delay(1)
            assert handle.delete() is True
        with pytest.raises(exceptions.ServerUnavailable):
            handle.status()

    async def test_the_async_twins(self):
        with captured_jobs() as captured:
            handle = await jobs.add.adelay(1)
            assert await handle.astatus() is JobStatus.PENDING
            with pytest.raises(exceptions.ResultTimeout):
                await handle.aresult(timeout=1)
            await captured.arun()
            assert await handle.aresult(timeout=1) == 3
            assert await handle.await_() is JobStatus.SUCCEEDED
            assert (await handle.ainfo()).result == 3
            assert await handle.acancel() is False
            assert await handle.aretry() is True
            assert await handle.adelete() is True


class RealCommits(TransactionTestCase):
    def test_jobs_are_captured_at_commit(self):
        with captured_jobs(execute=True) as captured:
            with transaction.atomic():
                handle = jobs.add.delay(1)
                assert len(captured) == 1
            with pytest.raises(jobs.Refused), transaction.atomic():
                jobs.add.delay(2)
                raise jobs.Refused

        assert len(captured) == 1
        assert handle.result() == 3

    def test_a_commit_after_the_capture_sends_nothing(self):
        with transaction.atomic(), captured_jobs() as captured:
            jobs.add.delay(1)

        assert len(captured) == 1

    def test_the_connection_stays_open(self):
        connection.ensure_connection()
        before = connection.connection
        with captured_jobs(execute=True):
            jobs.note_success.delay("x")

        assert connection.connection is before


def test_the_fixture_captures(captured_jobs: testing.CapturedJobs) -> None:
    jobs.add.delay(1)

    captured_jobs.assert_enqueued(jobs.add, args=(1,), count=1)
    assert captured_jobs.run()[0].result == 3


def test_a_capture_comes_before_eager() -> None:
    with override_settings(REDISJOBS={"EAGER": True}), captured_jobs() as captured:
        handle = jobs.add.delay(1)
        assert handle.status() is JobStatus.PENDING
    assert len(captured) == 1
