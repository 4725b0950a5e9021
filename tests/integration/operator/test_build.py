"""``doctor --code``: whether what is queued could run with this build."""

from __future__ import annotations

import pytest
from django.core.management.base import CommandError

from django_redisjobs.core.records import NewJob, new_id
from django_redisjobs.definitions import JobFunction
from django_redisjobs.management.operator import selection
from tests.integration.core.store import Store
from tests.integration.operator.conftest import Operator
from tests.integration.operator.jobs import add, fail, later

pytestmark = pytest.mark.usefixtures("redisjobs")


def queue_body(store: Store, body: str, queue: str = "high") -> str:
    job_id = new_id()
    store.enqueue(NewJob(job_id, queue, body))
    return job_id


def test_all_that_is_queued_can_run(operator: Operator):
    add.delay(1)
    add.delay(1, b=3)
    later.using(run_after="1h").delay()
    fail.delay("no")

    assert operator("doctor", "--code") == (
        "All 4 queued jobs can run with this build.\n"
    )
    assert operator.json("doctor", "--code") == {
        "ok": True,
        "jobs": 4,
        "unrunnable": [],
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('["tests.integration.operator.jobs.gone",[],{}]', "has no 'gone'"),
        ('["no.such.module.job",[],{}]', "is not loaded here"),
        ('["os.system",["ls"],{}]', "not a job function"),
        (f'["{add.path}",[],{{}}]', "missing a required argument: 'a'"),
        (f'["{add.path}",[1],{{"c":1}}]', "unexpected keyword argument 'c'"),
        (f'["{add.path}",[1],{{}},{{"timeout":"x"}}]', "instead of seconds"),
        ("garbage", "not JSON"),
    ],
)
def test_what_cannot_run_is_told(
    operator: Operator, store: Store, body: str, reason: str
):
    add.delay(1)
    ids = [queue_body(store, body), queue_body(store, body, "low")]

    with pytest.raises(CommandError, match="2 of 3 queued jobs cannot run"):
        operator("doctor", "--code")
    assert reason in operator.printed
    with pytest.raises(CommandError):
        operator.json("doctor", "--code")
    assert all(job_id in operator.printed for job_id in ids)


@pytest.mark.parametrize("error", [KeyError("SECRET"), ValueError()])
def test_whatever_the_projects_code_raises_is_told(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def refuse(*_: object) -> None:
        raise error

    add.delay(1)
    monkeypatch.setattr(JobFunction, "check_arguments", refuse)

    with pytest.raises(CommandError, match="1 of 1 queued jobs cannot run"):
        operator("doctor", "--code")
    assert type(error).__name__ in operator.printed


def test_scheduled_and_parked_jobs_are_looked_at(operator: Operator, store: Store):
    queue_body(store, '["gone.job",[],{}]')
    worker = store.worker("high")
    worker.settle(*worker.claim(), kind="parked")
    store.enqueue(NewJob(new_id(), "high", '["gone.job",[],{}]', delay_ms=60_000))

    with pytest.raises(CommandError, match="2 of 2"):
        operator("doctor", "--code")


def test_jobs_beyond_the_first_page_are_looked_at(
    operator: Operator, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(selection, "PAGE", 3)
    for number in range(8):
        add.delay(number)
    queue_body(store, '["gone.job",[],{}]', "default")

    with pytest.raises(CommandError, match="1 of 9"):
        operator("doctor", "--code")
