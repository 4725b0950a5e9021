"""Jobs that end their process: what is told of them, and who else is hit."""

from __future__ import annotations

import os
import re
import signal

import psutil
import pytest
from django.core.management import call_command

from django_redisjobs import JobStatus, conf, get_connection
from django_redisjobs.core import lookup
from django_redisjobs.core.scripts import perform
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

pytestmark = pytest.mark.usefixtures("redisjobs")


def record(handle):
    """All that Redis has of a job."""
    keys = conf.keys_for(handle.queue)
    return perform(get_connection(), lookup.job(keys, handle.id))


@pytest.mark.parametrize(
    ("how", "ended"),
    [("group", "SIGKILL"), ("segfault", "SIGSEGV"), ("memory", "SIGKILL")],
)
def test_the_failure_tells_of_the_end_and_nobody_else_is_hit(start, events, how, ended):
    worker = start(processes=2)
    neighbour = jobs.pass_gate.delay("unharmed")
    events.wait()

    poison = jobs.perish.delay(how)

    assert poison.wait(timeout=60) is JobStatus.FAILED
    events.open_gate(1)
    assert neighbour.result(timeout=60) == "unharmed"
    assert (record(neighbour).run, record(neighbour).crashes) == (1, 0)
    assert len(record(poison).attempts) == 3
    # Each start in another process: the last one in one that has run nothing else.
    assert len({attempt.worker for attempt in record(poison).attempts}) == 3
    for attempt in record(poison).attempts:
        assert ended in attempt.message
        peak = re.search(r"its peak memory was ([\d,]+) MB", attempt.message)
        assert peak
        assert int(peak[1].replace(",", "")) > (150 if how == "memory" else 10)
        ((_, level, logger, text),) = attempt.logs
        assert (level, logger, text) == ("WARNING", "shop", f"about to end: {how}")
        if how == "segfault":
            assert "Fatal Python error: Segmentation fault" in attempt.traceback
            assert "in perish" in attempt.traceback
    assert worker.stop() == 0


def test_people_are_shown_all_of_that(start, capsys):
    start(settings={"MAX_CRASHES": 1})
    handle = jobs.perish.delay("segfault")
    assert handle.wait(timeout=60) is JobStatus.FAILED

    call_command("redisjobs", "show", handle.id)

    told = capsys.readouterr().out
    assert "(SIGSEGV); its peak memory was" in told
    assert "Segmentation fault" in told
    assert "WARNING shop: about to end: segfault" in told


def test_a_job_that_was_killed_for_its_timeout_tells_what_it_logged(start):
    start(overrun=0.1)

    handle = jobs.perish.using(timeout=0.3).delay("overrun")

    assert handle.wait(timeout=60) is JobStatus.FAILED
    (attempt,) = record(handle).attempts
    assert attempt.outcome == "timeout"
    assert [line[3] for line in attempt.logs] == ["about to end: overrun"]


def test_values_that_redact_names_are_in_none_of_that(start):
    start(settings={"REDACT": ["how"]})

    handle = jobs.perish.delay("segfault")

    assert handle.wait(timeout=60) is JobStatus.FAILED
    assert record(handle).attempts[0].logs[0][3] == "about to end: [hidden]"


def test_what_a_crashed_job_had_started_ends_with_it(start, events):
    start(settings={"MAX_CRASHES": 1})

    handle = jobs.leave_something_running.delay()

    pid = int(events.wait()[1])
    assert handle.wait(timeout=60) is JobStatus.FAILED
    until(lambda: _is_gone(pid))


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_each_child_leads_a_group_of_its_own(start, events):
    """What is sent to the group of the terminal reaches the supervisor alone, who
    ends them in good order.
    """
    worker = start(processes=2)
    pid = jobs.whoami.delay().result(timeout=60)[0]
    # Long enough to be seen while it runs, also where the machine stands still. Not its
    # status: it is claimed before it is begun, and then goes back.
    handle = jobs.sleep.delay(2, "ended in peace")
    events.wait()

    assert os.getpgid(pid) == pid
    worker.signal(signal.SIGINT)

    assert worker.wait() == 0
    assert handle.result(timeout=0) == "ended in peace"


@pytest.mark.parametrize("how", ["returned", "raised"])
@pytest.mark.parametrize("bomb", [jobs.leave_a_bomb, jobs.leave_a_bomb_async])
def test_a_job_is_charged_with_what_its_objects_do_at_their_end(start, bomb, how):
    worker = start(settings={"MAX_CRASHES": 2})
    poison = bomb.delay(how)
    others = [jobs.add.delay(number, 1) for number in range(3)]

    assert poison.wait(timeout=30) is JobStatus.FAILED
    assert "SIGABRT" in record(poison).attempts[-1].message
    assert [other.result(timeout=30) for other in others] == [1, 2, 3]
    assert worker.stop() == 0
