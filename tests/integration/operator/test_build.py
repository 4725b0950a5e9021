"""``doctor --code``: whether what is queued could run with this build."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.test import override_settings

from django_redisjobs import registry
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


def with_argument(value: str) -> str:
    return f'["{add.path}",[{value}],{{}}]'


def with_callback(option: str, value: object) -> str:
    return f'["{add.path}",[1],{{}},{json.dumps({option: value})}]'


def test_all_that_is_queued_can_run(operator: Operator):
    add.delay(1)
    add.delay(1, b=3)
    later.using(run_after="1h").delay()
    fail.delay("no")

    assert operator("doctor", "--code") == (
        "This build can run all that is queued: 4 jobs.\n"
    )
    assert operator.json("doctor", "--code") == {
        "ok": True,
        "modules": [],
        "jobs": 4,
        "unrunnable": [],
        "callbacks": [],
        "stranded": [],
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
        (with_argument('{"$":"model","v":"auth.nothing:1@default"}'), "no such model"),
        (with_argument('{"$":"model","v":"auth.user:1@gone"}'), "no such database"),
        (
            with_argument('{"$":"Enum","v":["http:HTTPStatus","TEA"]}'),
            "no member 'TEA'",
        ),
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


@pytest.mark.parametrize("option", ["on_success", "on_failure"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (["tests.integration.operator.jobs.gone", "high"], "has no 'gone'"),
        ([later.path, "high"], "too many positional arguments"),
        ([add.path, "closed"], "no queue 'closed'"),
        ([7, "high"], "AttributeError"),
        (add.path, "takes from"),
    ],
)
def test_callbacks_that_cannot_run_are_told(
    operator: Operator, store: Store, option: str, value: object, reason: str
):
    job_id = queue_body(store, with_callback(option, value))
    queue_body(store, with_callback(option, [add.path, "high", None, 5]))
    queue_body(store, with_callback(option, [add.path]))

    with pytest.raises(
        CommandError, match="1 of 3 queued jobs can run, and their call"
    ):
        operator("doctor", "--code")
    assert f"its {option}: " in operator.printed
    assert reason in operator.printed
    with pytest.raises(CommandError):
        operator.json("doctor", "--code")
    document = json.loads(operator.printed)
    assert (document["ok"], document["unrunnable"]) == (False, [])
    assert document["callbacks"][0]["ids"] == [job_id]


def test_a_callback_in_another_group_than_its_job_is_told(
    redisjobs: dict[str, Any], operator: Operator, store: Store
):
    queue_body(store, with_callback("on_success", [add.path, "low"]))
    queues = {"high": {}, "default": {}, "low": {"GROUP": "b"}}

    with (
        override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}),
        pytest.raises(CommandError, match="their callbacks cannot"),
    ):
        operator("doctor", "--code")
    assert "wait in queue 'low' of group 'default'" in operator.printed


def test_callbacks_are_found_as_workers_find_them(
    operator: Operator,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    """Who starts imports what jobs name as their callbacks, wherever that is."""
    request.addfinalizer(partial(registry._functions.pop, "dull_shop.jobs.pay", None))
    package = tmp_path / "dull_shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "letters.py").write_text("def thank(job_id): ...\n")
    (package / "jobs.py").write_text(
        "from django_redisjobs import job\n"
        "@job(on_success='dull_shop.letters.thank')\ndef pay(): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    queue_body(
        store,
        '["dull_shop.jobs.pay",[],{},{"on_success":["dull_shop.letters.thank","low"]}]',
    )

    with override_settings(INSTALLED_APPS=["django_redisjobs", "dull_shop"]):
        operator("doctor", "--code")


def test_a_module_that_cannot_be_imported_is_told(operator: Operator, broken_app: str):
    add.delay(1)

    with pytest.raises(CommandError, match=f"cannot be imported: {broken_app}"):
        operator("doctor", "--code")
    assert (
        operator.printed
        == rf"{broken_app} cannot be imported: KeyError: 'SHOP\nURL'" + "\n"
    )
    with pytest.raises(CommandError):
        operator.json("doctor", "--code")
    document = json.loads(operator.printed)
    assert (document["ok"], document["jobs"], document["unrunnable"]) == (False, 1, [])
    (module,) = document["modules"]
    assert module == {"module": broken_app, "reason": r"KeyError: 'SHOP\nURL'"}


@pytest.mark.parametrize("error", [KeyError("SECRET"), ValueError()])
def test_whatever_the_projects_code_raises_is_told(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def refuse(*_: object) -> None:
        raise error

    add.delay(1)
    monkeypatch.setattr(JobFunction, "check_arguments", refuse)

    with pytest.raises(CommandError, match="1 of 1 queued job cannot run"):
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
