"""``run``: one job in this process; no worker runs it too, and nothing loses it."""

from __future__ import annotations

import os
import pdb  # noqa: T100
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.core.management.base import CommandError

from django_redisjobs import JobHandle, JobStatus, get_queue
from django_redisjobs.core import consumer
from django_redisjobs.worker import foreground
from tests.integration.core.places import Places
from tests.integration.core.store import Store
from tests.integration.operator import jobs
from tests.integration.operator.conftest import Operator
from tests.integration.operator.jobs import (
    add,
    be_meddled_with,
    fail,
    interrupt,
    tell,
    wait_a_turn,
    wait_for_ever,
)

pytestmark = pytest.mark.usefixtures("redisjobs")
Look = Callable[[], Places]


@pytest.fixture
def meddle() -> Iterator[list[Callable[[], object]]]:
    yield jobs.meddle
    jobs.meddle.clear()
    jobs.tidied_up.clear()


def test_a_pending_job_runs_here(operator: Operator, store: Store, look: Look):
    handle = add.delay(1, b=5)

    text = operator("run", handle.id)

    assert "runs in this process" in text
    assert "It succeeded after" in text
    assert text.rstrip().endswith(": 6")
    assert handle.result(timeout=0) == 6
    look()
    assert store.client.zcard(store.keys.workers) == 0
    assert store.worker("default").claim() == []
    look()


def test_a_coroutine_runs_here(operator: Operator):
    handle = wait_a_turn.delay(1)

    operator("run", handle.id)

    assert handle.result(timeout=0) == 2


@pytest.mark.parametrize(
    "options", [{"priority": 5}, {"run_after": "1h"}, {"priority": -5}]
)
def test_from_wherever_it_waits(
    operator: Operator, look: Look, options: dict[str, Any]
):
    handle = add.using(**options).delay(1)

    operator("run", handle.id)

    assert handle.status() is JobStatus.SUCCEEDED
    look()


def test_a_parked_job_runs_here(operator: Operator, store: Store, look: Look):
    handle = add.delay(1)
    worker = store.worker("default")
    worker.settle(*worker.claim(), kind="parked")

    operator("run", handle.id)

    assert handle.status() is JobStatus.SUCCEEDED
    assert handle.info().error == ""
    look()


def test_a_job_that_has_to_run_alone_runs_here(
    operator: Operator, store: Store, look: Look
):
    handle = add.delay(1)
    for _ in range(2):
        worker = store.worker("default")
        store.rescue(worker, worker.claim(fresh=True))
    assert look().place[handle.id] == "alone:default"

    operator("run", handle.id)

    assert handle.status() is JobStatus.SUCCEEDED
    look()


def test_the_job_knows_itself(operator: Operator):
    handle = tell.delay()

    operator("run", handle.id)

    assert handle.result(timeout=0) == {"run": 1, "attempt": 1, "queue": "high"}
    assert handle.info().meta == {"seen": True}


def test_a_failure_is_an_attempt_like_any_other(
    operator: Operator, store: Store, look: Look
):
    handle = fail.delay("no money")

    with pytest.raises(CommandError, match="is retried at") as ended:
        operator("run", handle.id)

    assert ended.value.returncode == 1
    assert "ValueError: no money" in operator.printed
    assert "jobs.py" in operator.printed
    assert "django_redisjobs/worker" not in operator.printed
    assert look().place[handle.id] == "scheduled:high"
    (attempt,) = handle.info().attempts
    assert (attempt.outcome, attempt.message) == ("failed", "no money")

    # Again, and now no retry is left.
    with pytest.raises(CommandError, match="failed for good"):
        operator("run", handle.id)
    assert handle.status() is JobStatus.FAILED
    # And a failed one may be run as often as one likes.
    with pytest.raises(CommandError, match="is retried at"):
        operator("run", handle.id)
    assert [one.number for one in handle.info().attempts] == [1, 2, 1]


def test_an_ended_job_is_run_again_before_any_worker_gets_it(
    operator: Operator, store: Store, look: Look, monkeypatch: pytest.MonkeyPatch
):
    handle = add.delay(1)
    (claimed,) = (worker := store.worker("default")).claim()
    worker.settle(claimed, kind="failed")

    def take_late(*args: Any, **options: Any) -> Any:
        assert worker.claim(9) == []
        return consumer.take(*args, **options)

    monkeypatch.setattr(foreground, "take", take_late)
    operator("run", handle.id)

    assert handle.result(timeout=0) == 3
    assert store.record(handle.id).run == 2
    look()


def test_what_ended_otherwise_meanwhile_is_not_repeated(
    operator: Operator, store: Store, look: Look, monkeypatch: pytest.MonkeyPatch
):
    handle = add.delay(1)
    handle.cancel()

    def take_late(*args: Any, **options: Any) -> Any:
        assert handle.retry()
        worker = store.worker("default")
        worker.settle(*worker.claim(), kind="succeeded")
        return consumer.take(*args, **options)

    monkeypatch.setattr(foreground, "take", take_late)

    with pytest.raises(CommandError, match="has succeeded a moment ago"):
        operator("run", handle.id)
    look()


def test_a_success_is_repeated_only_after_a_question(
    operator: Operator, answers: Callable[[str], list[str]]
):
    handle = add.delay(1)
    operator("run", handle.id)

    with pytest.raises(CommandError, match="--yes"):
        operator("run", handle.id)
    asked = answers("y")
    operator("run", handle.id)

    assert "has succeeded. Run it once more?" in asked[0]
    assert len(handle.info().attempts) == 2


def test_for_programs(operator: Operator, capsys: pytest.CaptureFixture[str]):
    handle = tell.delay()

    document = operator.json("run", handle.id)

    assert (document["outcome"], document["status"]) == ("succeeded", "succeeded")
    assert document["result"]["run"] == 1
    assert "said by the job" in capsys.readouterr().err
    with pytest.raises(CommandError):
        operator.json("run", fail.delay("no").id)
    assert '"outcome": "retry"' in operator.printed
    assert "ValueError: no" in operator.printed


def test_an_interrupt_puts_it_back_uncounted(
    operator: Operator, store: Store, look: Look
):
    behind = interrupt.delay()
    handle = interrupt.delay()

    with pytest.raises(CommandError, match="back in its queue"):
        operator("run", handle.id)

    assert look().place[handle.id] == "pending:high"
    assert handle.info().attempts == ()
    claimed = store.worker("high").claim(2)
    assert [one.id for one in claimed] == [handle.id, behind.id]
    assert claimed[0].run == 2


def test_somebody_else_may_cancel_it(
    operator: Operator,
    meddle: list[Callable[[], object]],
    look: Look,
):
    handle = be_meddled_with.delay()
    meddle += [handle.cancel, lambda: threading.Event().wait(20)]

    with pytest.raises(CommandError, match="was cancelled"):
        operator("run", handle.id)

    assert handle.status() is JobStatus.CANCELLED
    look()


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_coroutine_ends_before_it_is_put_back_or_cancelled(
    operator: Operator,
    meddle: list[Callable[[], object]],
    look: Look,
    cancelled: bool,
):
    handle = wait_for_ever.delay()
    interrupt = partial(os.kill, os.getpid(), signal.SIGINT)
    meddle.append(handle.cancel if cancelled else interrupt)
    told = "was cancelled" if cancelled else "back in its queue"

    with pytest.raises(CommandError, match=told):
        operator("run", handle.id)

    assert jobs.tidied_up.is_set()
    if cancelled:
        assert handle.status() is JobStatus.CANCELLED
    else:
        assert look().place[handle.id] == "pending:high"
        assert handle.info().attempts == ()


def test_no_worker_runs_it_meanwhile(
    operator: Operator,
    store: Store,
    meddle: list[Callable[[], object]],
    look: Look,
):
    handle = be_meddled_with.delay()
    worker, seen = store.worker("high"), []
    meddle += [lambda: seen.extend(worker.claim(5)), lambda: seen.append(look())]

    operator("run", handle.id)

    (places,) = seen
    assert places.place[handle.id] == "claimed"
    assert handle.info().attempts[-1].outcome == "succeeded"


def test_what_a_worker_runs_is_not_run_here(operator: Operator, store: Store):
    handle = add.delay(1)
    store.worker("default", name="w7").claim()

    with pytest.raises(CommandError, match="runs already, in worker w7"):
        operator("run", handle.id)


def test_a_lost_lease_makes_the_outcome_void(
    operator: Operator,
    store: Store,
    meddle: list[Callable[[], object]],
    look: Look,
):
    """This machine slept, say, and another worker has taken the job back."""
    handle = be_meddled_with.delay()

    def be_rescued() -> None:
        (worker,) = store.client.zrange(store.keys.workers, 0, -1)
        store.rescue(worker.decode())

    meddle.append(be_rescued)

    with pytest.raises(CommandError, match="counts for nothing"):
        operator("run", handle.id)

    assert look().place[handle.id] == "pending:high"


def test_an_unknown_function_is_told_before_anything_is_claimed(
    operator: Operator, store: Store, look: Look
):
    (job_id,) = store.add("high")

    with pytest.raises(CommandError, match=r"is not loaded here.*as it was"):
        operator("run", job_id)

    assert look().place[job_id] == "pending:high"
    with pytest.raises(CommandError, match="knows no job"):
        operator("run", "nope")


def test_a_broken_app_keeps_nobody_from_running_others(
    operator: Operator, store: Store, broken_app: str
):
    (stuck,) = store.add("high", body=f'["{broken_app}.pay",[],{{}}]')

    operator("run", add.delay(1).id)
    assert operator.notices.startswith(f"{broken_app} cannot be imported: KeyError")

    with pytest.raises(
        CommandError, match=r"imported: KeyError.* The job is as it was"
    ):
        operator("run", stuck)


def test_a_paused_queue_is_told_of(operator: Operator):
    get_queue("default").pause()
    handle = add.delay(1)

    operator("run", handle.id)

    assert "is paused" in operator.notices
    assert handle.status() is JobStatus.SUCCEEDED


def test_the_debugger_sees_the_jobs_frame(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, look: Look
):
    frames: list[str] = []

    def examine(trace: Any) -> None:
        while trace.tb_next:
            trace = trace.tb_next
        frames.append(trace.tb_frame.f_code.co_name)
        # It is still held: nobody else runs it while a person looks.
        frames.append(look().place[handle.id])

    monkeypatch.setattr(pdb, "post_mortem", examine)
    handle = fail.delay("no")

    with pytest.raises(CommandError):
        operator("run", handle.id, "--pdb")

    assert frames == ["fail", "claimed"]
    with pytest.raises(CommandError, match="choose"):
        operator("run", handle.id, "--pdb", "--json")


KILLED = """
import os, django
from django.conf import settings
from tests import settings as given
given.REDISJOBS = {redisjobs!r}
django.setup()
from django.core.management import call_command
from tests.integration.operator import jobs
jobs.meddle.append(lambda: os.kill(os.getpid(), {number}))
call_command("redisjobs", "run", {job_id!r})
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_survives_the_death_of_this_process(
    redisjobs: dict[str, Any], store: Store, look: Look, number: int
):
    handle: JobHandle[str] = be_meddled_with.delay()
    code = KILLED.format(redisjobs=redisjobs, number=int(number), job_id=handle.id)

    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": ""},
        check=False,
    )

    assert ended.returncode == -number
    assert look().place[handle.id] == "claimed"
    ((name, _),) = store.client.zrange(store.keys.workers, 0, -1, withscores=True)
    store.client.zadd(store.keys.workers, {name: 1})
    store.maintain_now()
    (again,) = store.worker("high").claim()
    assert (again.id, again.run, again.crashes) == (handle.id, 2, 1)
