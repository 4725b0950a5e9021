"""``manage.py runworker``: its arguments, its exit status, what it says."""

from __future__ import annotations

import os
import re
import signal

import psutil
import pytest
from django.core.management import CommandError, call_command

from django_redisjobs import JobStatus, Worker
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


# What a big project imports and checks takes seconds.
STILL_STARTING = """
import signal
from django.core import checks, management

@checks.register
def wait(**_):
    print("is checking", flush=True)
    signal.pause()
    return []

management.execute_from_command_line(["manage.py", "runworker", "--processes", "1"])
"""


def test_it_ends_with_0_on_a_signal_that_comes_while_it_starts(start):
    """PID 1 gets no signal that it has no handler for."""
    worker = start(command=["-c", STILL_STARTING])
    until(lambda: "is checking" in worker.output)

    assert worker.stop() == 0


def test_it_leaves_the_signal_to_whom_it_was(monkeypatch):
    seen = []
    monkeypatch.setattr(
        Worker, "run", lambda _: seen.append(signal.getsignal(signal.SIGTERM))
    )
    before = signal.getsignal(signal.SIGTERM)

    call_command("runworker", processes=0)

    assert seen != [before]
    assert signal.getsignal(signal.SIGTERM) is before


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
