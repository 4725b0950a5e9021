"""``manage.py runworker``: its arguments, its exit status, what it says."""

from __future__ import annotations

import os
import re
import signal

import psutil
import pytest
from django.core.management import CommandError, call_command

from django_redisjobs import JobStatus
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

pytestmark = pytest.mark.usefixtures("redisjobs")


@pytest.mark.parametrize("name", ["runworker", "redisjobs_worker"])
def test_a_burst_runs_all_there_is_and_ends_with_0(start, left_in_redis, name):
    handles = jobs.add.delay_many([(number, 1) for number in range(300)])
    later = jobs.add.using(run_after=3600).delay(1, 1)

    worker = start(command=["-m", "django", name, "--burst", "--processes", "2"])

    assert worker.wait() == 0
    assert [handle.result(timeout=0) for handle in handles] == list(range(1, 301))
    assert later.status().value == "scheduled"
    assert not left_in_redis()


def test_it_ends_with_0_on_a_signal(start):
    worker = start(command=["-m", "django", "runworker", "--processes", "1"])
    until(lambda: "Worker" in worker.output)

    worker.signal(signal.SIGINT)

    assert worker.wait() == 0


def test_a_log_whose_reader_is_gone_stops_nothing(start):
    reader, writer = os.pipe()
    os.close(reader)
    worker = start(
        command=["-m", "django", "runworker", "--processes", "1"], output=writer
    )
    os.close(writer)
    # Its failure is told, or would be.
    assert jobs.fail.delay("x").wait(timeout=60) is JobStatus.FAILED
    pid = jobs.whoami.delay().result(timeout=60)[0]

    psutil.Process(pid).kill()

    assert jobs.whoami.delay().result(timeout=60)[0] != pid
    assert worker.stop() == 0


def test_an_unknown_queue_is_an_error_that_names_the_choices():
    with pytest.raises(CommandError, match=r"'hihg'.*high, default, low"):
        call_command("runworker", "hihg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--processes", "-1"], "processes"),
        (["--threads", "0"], "threads"),
        (["--async-concurrency", "0"], "async_concurrency"),
        (["--max-rss", "much"], "'much' is no size"),
        (["--max-jobs", "0"], "max_jobs"),
        (["--grace", "-1"], "-1"),
    ],
)
def test_a_wrong_argument_is_an_error(arguments, message):
    with pytest.raises(CommandError, match=re.escape(message)):
        call_command("runworker", *arguments)


def test_at_first_it_tells_of_failures_and_retries_only(start):
    fine, flaky, bad = jobs.add.delay(1, 1), jobs.flaky.delay(1), jobs.fail.delay("x")

    worker = start(command=["-m", "django", "runworker", "--processes", "1"])
    flaky.wait(timeout=60)
    bad.wait(timeout=60)
    worker.stop()

    assert fine.id not in worker.output
    assert f"↻ {jobs.flaky.path} {flaky.id}: retry 1/3 in 20 ms" in worker.output
    assert f"✗ {jobs.fail.path} {bad.id} failed: ValueError: x" in worker.output
    assert "raise ValueError(message)" in worker.output


def test_with_v_2_it_tells_of_each_job(start):
    fine = jobs.add.delay(1, 1)

    worker = start(
        command=["-m", "django", "runworker", "--processes", "1", "--burst", "-v", "2"]
    )

    assert worker.wait() == 0
    assert re.search(rf"✓ {jobs.add.path} {fine.id} in [\d.]+ m?s\n", worker.output)
