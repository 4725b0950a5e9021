"""``run_jobs()``: what is in Redis, run within a test as a worker would run it."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import TestCase, TransactionTestCase, override_settings

from django_redisjobs import (
    JobStatus,
    Worker,
    exceptions,
    get_connection,
    get_queue,
)
from django_redisjobs.conf import get_settings
from django_redisjobs.testing import arun_jobs, memory_server, run_jobs
from django_redisjobs.testing.commits import send_what_waits
from tests.servers import Server
from tests.unit.testing import jobs

pytestmark = pytest.mark.usefixtures("redisjobs")


def left_in_redis() -> set[str]:
    """Names of keys that only a worker at work may have."""
    keys: Any = get_connection().keys(f"{get_settings().prefix}:*")
    parts = {key.decode().split("}:", 1)[-1].split(":")[0] for key in keys}
    return parts & {"claimed", "worker", "workers", "control"}


class InsideATestCase(TestCase):
    def test_it_sees_the_rows_of_the_test_and_the_test_sees_its_rows(self):
        group = Group.objects.create(name="a")
        handle = jobs.rename.delay(group, name="b")
        coroutine = jobs.rename_async.delay(group.pk, "c")

        outcomes = run_jobs()

        group.refresh_from_db()
        assert group.name == "c"
        assert (handle.result(timeout=0), coroutine.result(timeout=0)) == ("a", "b")
        assert [each.result for each in outcomes] == ["a", "b"]
        assert [each.queue for each in outcomes] == ["high", "default"]
        assert not left_in_redis()

    def test_what_came_of_it_is_seen_in_an_outcome_and_asks_no_database(self):
        jobs.give.delay(Group.objects.create(name="a"))

        (outcome,) = run_jobs()

        with self.assertNumQueries(0):
            text = repr(outcome)
        assert "status=<JobStatus.SUCCEEDED: 'succeeded'>, result=" in text
        assert "auth.group" in text
        assert text.endswith(", exception=None)")

    def test_nothing_to_do(self):
        assert run_jobs() == []
        assert not left_in_redis()

    def test_jobs_that_wait_for_the_commit_of_the_test_run(self):
        handle = jobs.add.delay(1)
        with transaction.atomic():
            other = jobs.add.delay(2)
        with pytest.raises(exceptions.JobNotFound):
            handle.status()

        assert len(run_jobs()) == 2
        assert (handle.result(), other.result()) == (3, 4)
        assert run_jobs() == []

    def test_those_of_a_transaction_that_is_open_do_not(self):
        with transaction.atomic():
            handle = jobs.add.delay(1)
            assert run_jobs() == []
            with pytest.raises(exceptions.JobNotFound):
                handle.status()

        assert len(run_jobs()) == 1

    def test_those_of_one_that_was_rolled_back_do_not(self):
        with pytest.raises(jobs.Refused), transaction.atomic():
            jobs.add.delay(1)
            raise jobs.Refused

        assert run_jobs() == []

    def test_captured_hooks_send_them_once(self):
        with self.captureOnCommitCallbacks(execute=True):
            handle = jobs.add.delay(1)
            assert len(run_jobs()) == 1

        assert run_jobs() == []
        assert handle.result() == 3

    def test_what_jobs_enqueue_runs_too(self):
        jobs.enqueue_more.delay(3)

        assert len(run_jobs()) == 7

    def test_what_a_failing_transaction_of_a_job_enqueued_does_not(self):
        jobs.enqueue_and_fail.delay(within=True)

        outcomes = run_jobs(raise_errors=False)

        assert [each.result for each in outcomes] == [None, 3]

    def test_a_job_without_an_end_is_stopped(self):
        jobs.again.delay()

        with pytest.raises(RuntimeError, match="After 20 attempts"):
            run_jobs(limit=20)
        assert not left_in_redis()
        assert get_queue().depth() == 1

    def test_what_a_job_raised_is_raised_when_all_have_run(self):
        jobs.refuse.delay("first")
        last = jobs.add.delay(1)

        with pytest.raises(jobs.Refused, match="first"):
            run_jobs()
        assert last.result(timeout=0) == 3

    def test_it_is_stored_as_ever(self):
        handle = jobs.refuse.delay("no")

        run_jobs(raise_errors=False)

        with pytest.raises(exceptions.JobFailed) as hit:
            handle.result(timeout=0)
        assert "raise Refused(reason)" in hit.value.traceback

    def test_retries(self):
        handle = jobs.flaky.delay(2)
        with pytest.raises(ConnectionError, match="attempt 1"):
            run_jobs()
        assert handle.status() is JobStatus.SCHEDULED
        assert run_jobs() == []

        outcomes = run_jobs(scheduled=True)

        assert [each.attempt for each in outcomes] == [2, 3]
        assert handle.result(timeout=0) == 3
        assert handle.info().meta == {"tried": 3}

    def test_scheduled_jobs_wait_for_their_time(self):
        soon = jobs.add.using(run_after="5m").delay(1)
        later = datetime.now(tz=UTC) + timedelta(days=2)
        late = jobs.add.using(run_after=later).delay(2)

        assert run_jobs() == []
        assert run_jobs(scheduled="4m") == []
        assert len(run_jobs(scheduled="6m")) == 1
        assert soon.result(timeout=0) == 3
        assert len(run_jobs(scheduled=later)) == 1
        assert late.result(timeout=0) == 4

    def test_what_is_due_runs(self):
        handle = jobs.add.using(run_after=0.001).delay(1)
        while handle_is_not_due(handle):
            pass

        assert len(run_jobs()) == 1

    def test_strict_order_and_only_some_queues(self):
        low, high = jobs.add.using(queue="low").delay(1), jobs.add.using(queue="high")
        first = high.delay(2)
        other = jobs.add.delay(3)

        outcomes = run_jobs("high", "low")

        assert [each.id for each in outcomes] == [first.id, low.id]
        assert other.status() is JobStatus.PENDING
        with pytest.raises(exceptions.UnknownQueue):
            run_jobs("hihg")

    def test_paused_queues_stay_paused(self):
        jobs.add.delay(1)
        get_queue().pause()

        assert run_jobs() == []
        get_queue().resume()
        assert len(run_jobs()) == 1

    def test_what_the_database_refuses_fails_one_attempt_alone(self):
        refused = jobs.create_twice.delay("a")
        after = jobs.create.delay("b")

        outcomes = run_jobs(scheduled=True, raise_errors=False)

        tried = [each.exception for each in outcomes if each.id == refused.id]
        assert [type(each) for each in tried] == [IntegrityError] * 2
        assert after.status() is JobStatus.SUCCEEDED
        assert Group.objects.get().name == "b"
        # Those that were enqueued before it in each attempt.
        assert [each.result for each in outcomes].count(22) == 2

    def test_callbacks_run(self):
        good = jobs.with_callbacks.delay(well=True)
        bad = jobs.with_callbacks.delay(well=False)

        run_jobs(raise_errors=False)

        assert set(Group.objects.values_list("name", flat=True)) == {
            f"done {good.id}",
            f"failed {bad.id}",
        }

    def test_groups_of_queues(self):
        queues = {"high": {"GROUP": "a"}, "default": {}, "low": {"GROUP": "b"}}
        with override_settings(
            REDISJOBS={
                "URL": get_settings().url,
                "PREFIX": get_settings().prefix,
                "QUEUES": queues,
            }
        ):
            handles = [jobs.add.using(queue=queue).delay(1) for queue in queues]
            assert len(run_jobs()) == 3
            assert [handle.result(timeout=0) for handle in handles] == [3, 3, 3]

    def test_an_interrupt_ends_it_all_and_leaves_nothing_claimed(self):
        stopped = jobs.leave.delay("interrupt")
        after = jobs.add.delay(1)

        with pytest.raises(KeyboardInterrupt):
            run_jobs()

        assert stopped.status() is JobStatus.FAILED
        assert after.status() is JobStatus.PENDING
        assert not left_in_redis()

    def test_a_function_that_is_unknown_is_told(self):
        known = jobs.add.delay(1)
        with mock.patch.object(jobs.add, "path", "tests.nowhere.gone"):
            lost = jobs.add.delay(1)

        with pytest.raises(exceptions.UnknownJobFunction):
            run_jobs()
        assert lost.status() is JobStatus.PARKED
        assert known.result(timeout=0) == 3

    async def test_from_an_async_test(self):
        group = await Group.objects.acreate(name="a")
        handle = await jobs.rename_async.adelay(group.pk, "b")
        plain = await jobs.rename.adelay(group, name="c")

        await arun_jobs()

        assert await plain.aresult(timeout=0) == "a"
        assert await handle.aresult(timeout=0) == "c"

    def test_a_worker_in_this_process_leaves_the_connection_alone(self):
        """Not what it is for, but people will."""
        Group.objects.create(name="a")
        handle = jobs.note_success.using(on_commit=False).delay("x")

        Worker(processes=0, burst=True).run()

        assert handle.status() is JobStatus.SUCCEEDED
        assert Group.objects.count() == 2


class WithJobsOfTheClass(TestCase):
    """Those that wait for a commit that comes after all tests of the class."""

    # Of both, unlike what the fixture has for each test alone.
    settings_of_both = override_settings(REDISJOBS={"PREFIX": "of-the-class"})

    @classmethod
    def setUpTestData(cls):
        with cls.settings_of_both:
            jobs.add.delay(1)

    def test_each_test_runs_its_own_alone(self):
        with self.settings_of_both, memory_server():
            handle = jobs.add.delay(2)
            (outcome,) = run_jobs()

            assert outcome.result == handle.result() == 4

    test_whichever_test_is_first = test_each_test_runs_its_own_alone


class RunByTheClass(TestCase):
    @classmethod
    def setUpTestData(cls):
        with memory_server():
            jobs.add.delay(1)
            (cls.outcome,) = run_jobs()

    def test_it_ran(self):
        assert self.outcome.result == 3
        assert run_jobs() == []


def handle_is_not_due(handle: Any) -> bool:
    """Once sent, that is: it counts from then."""
    send_what_waits()
    due = handle.info().due_at
    seconds, micro = get_connection().time()
    return due is not None and due.timestamp() > seconds + micro / 1e6


class RealCommits(TransactionTestCase):
    def test_the_connection_stays_open(self):
        connection.ensure_connection()
        before = connection.connection
        jobs.note_success.delay("x")

        run_jobs()

        assert connection.connection is before
        assert Group.objects.count() == 1

    def test_a_transaction_that_is_open_keeps_its_jobs(self):
        with transaction.atomic():
            jobs.add.delay(1)
            assert run_jobs() == []

        assert len(run_jobs()) == 1


@memory_server()
class InMemory(TestCase):
    def test_one(self):
        handle = jobs.add.delay(1)

        assert get_settings().url == "memory://"
        assert tuple(get_settings().queues) == ("high", "default", "low")
        assert len(run_jobs()) == 1
        assert handle.result(timeout=1) == 3
        jobs.add.using(on_commit=False).delay(2)

    test_each_test_begins_with_an_empty_one = test_one

    def test_waiting_ends(self):
        handle = jobs.add.using(on_commit=False).delay(1)

        with pytest.raises(exceptions.ResultTimeout):
            handle.result(timeout=0.01)

    def test_retries_and_what_is_scheduled(self):
        handle = jobs.flaky.delay(2)

        run_jobs(scheduled=True)

        assert handle.result(timeout=0) == 3


@memory_server()
def test_a_server_for_a_function() -> None:
    jobs.add.delay(1)

    assert run_jobs()[0].result == 3


def test_a_server_for_a_while() -> None:
    url = get_settings().url
    with memory_server():
        jobs.add.delay(1)
        assert get_queue().depth() == 1

    assert get_settings().url == url
    assert get_queue().depth() == 0


def test_a_server_is_one_where_the_settings_of_tests_say_eager() -> None:
    with override_settings(REDISJOBS={"EAGER": True}):
        with memory_server():
            handle = jobs.add.delay(1)
            get_queue().pause()
            assert (run_jobs(), get_queue().depth()) == ([], 1)
            get_queue().resume()
            assert len(run_jobs()) == 1
            assert handle.result(timeout=0) == 3

        assert jobs.add.delay(2).result() == 4


def test_a_server_that_is_away_is_an_error(redisjobs: dict[str, Any]) -> None:
    server = Server()
    server.stop()
    with (
        override_settings(REDISJOBS={**redisjobs, "URL": server.url}),
        pytest.raises(exceptions.ServerUnavailable, match=server.socket),
    ):
        run_jobs()


@pytest.mark.django_db
def test_a_command_line_worker_within_a_test_leaves_the_connection_alone() -> None:
    Group.objects.create(name="a")
    jobs.note_success.using(on_commit=False).delay("x")

    call_command("runworker", "--burst", "--processes", "0", stdout=io.StringIO())

    assert Group.objects.count() == 2
