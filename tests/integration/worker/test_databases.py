"""Django's database connections around jobs."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from django.contrib.contenttypes.models import ContentType

from django_redisjobs import JobStatus
from django_redisjobs.exceptions import JobFailed
from tests.integration.worker import jobs

pytestmark = pytest.mark.usefixtures("redisjobs")


@pytest.fixture
def database(tmp_path):
    path = str(tmp_path / "jobs.sqlite3")
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("CREATE TABLE names (name TEXT)")
        opened.commit()
    return path


def names(path):
    with closing(sqlite3.connect(path)) as opened:
        return [name for (name,) in opened.execute("SELECT name FROM names")]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_atomic_job_that_fails_leaves_nothing(start, database, threads):
    start(threads=threads, environment={"WORKER_TEST_DATABASE": database})

    failed = jobs.write_and_fail.delay("never")
    written = jobs.write.delay("kept")

    assert failed.wait(timeout=60) is JobStatus.FAILED
    assert written.result(timeout=60) is True
    assert names(database) == ["kept"]


def test_the_thread_of_async_code_was_used_before_the_fork(start, database):
    environment = {"WORKER_TEST_DATABASE": database, "WORKER_TEST_ASGIREF": "1"}
    start(environment=environment)

    assert jobs.connection_is_open_async.delay().result(timeout=60) is False


@pytest.mark.parametrize("threads", [1, 3])
def test_connections_are_closed_after_a_job_as_after_a_request(
    start, database, threads
):
    start(threads=threads, environment={"WORKER_TEST_DATABASE": database})
    assert jobs.write.delay("x").result(timeout=60) is True

    assert not any(jobs.connection_is_open.delay().result(timeout=60) for _ in range(6))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_transaction_that_a_job_left_open_takes_no_others_writes(
    start, database, threads
):
    start(threads=threads, environment={"WORKER_TEST_DATABASE": database})

    for number in range(4):
        jobs.begin_and_leave.delay().result(timeout=60)
        assert jobs.write.delay(str(number)).result(timeout=60) is True

    assert names(database) == ["0", "1", "2", "3"]


def test_connections_of_coroutine_jobs_are_closed_in_their_thread(start, database):
    start(environment={"WORKER_TEST_DATABASE": database})
    assert jobs.write_async.delay("x").result(timeout=60) == 1

    assert jobs.connection_is_open_async.delay().result(timeout=60) is False
    assert names(database) == ["x"]


def enqueue_with_missing_row(function, database):
    with closing(sqlite3.connect(database)) as opened:
        opened.execute(
            "CREATE TABLE django_content_type (id INTEGER, app_label TEXT, model TEXT)"
        )
        opened.commit()
    row = ContentType(pk=1, app_label="shop", model="order")
    row._state.adding, row._state.db = False, "default"
    return function.delay(row)


def test_what_one_coroutine_does_in_djangos_thread_holds_up_no_others_outcome(
    start, database, events
):
    start(environment={"WORKER_TEST_DATABASE": database})
    # From now on each one looks after the connections of that thread.
    assert jobs.write_async.delay("x").result(timeout=60) == 1
    quick = jobs.pass_gate_async.delay("quick")
    assert events.wait()[:2] == ["arrived", "quick"]
    slow = jobs.keep_database_thread.delay()
    assert events.wait() == ["keeps"]

    events.open_gate(1)

    assert quick.result(timeout=20) == "quick"
    assert slow.status() is JobStatus.RUNNING

    jobs.free_database_thread.delay()
    assert slow.result(timeout=60) is True


def test_what_a_timed_out_job_left_in_djangos_thread_keeps_no_others(
    start, database, events
):
    start(environment={"WORKER_TEST_DATABASE": database})
    assert jobs.write_async.delay("x").result(timeout=60) == 1
    hung = jobs.keep_database_thread.using(timeout=0.3, retry=0).delay()
    assert events.wait() == ["keeps"]
    assert hung.wait(timeout=60) is JobStatus.FAILED

    assert jobs.nap_async.delay(0).wait(timeout=20) is JobStatus.SUCCEEDED
    # Its time runs, although it waits for that thread.
    late = jobs.write_async.using(timeout=0.3, retry=0).delay("never")
    assert late.wait(timeout=20) is JobStatus.FAILED
    with pytest.raises(JobFailed, match="ContentType with primary key 1"):
        enqueue_with_missing_row(jobs.take_async, database).result(timeout=20)

    jobs.free_database_thread.delay()
    assert jobs.write_async.delay("y").result(timeout=60) == 1
    assert names(database) == ["x", "y"]


@pytest.mark.parametrize("function", [jobs.take, jobs.take_async])
def test_a_missing_row_fails_the_job_once(start, database, function):
    start(environment={"WORKER_TEST_DATABASE": database})

    handle = enqueue_with_missing_row(function, database)

    with pytest.raises(JobFailed, match="ContentType with primary key 1"):
        handle.result(timeout=60)
    assert len(handle.info().attempts) == 1


def test_a_missing_row_may_discard_the_job(start, database):
    start(environment={"WORKER_TEST_DATABASE": database})

    handle = enqueue_with_missing_row(jobs.take_or_leave, database)

    assert handle.wait(timeout=60) is JobStatus.CANCELLED
