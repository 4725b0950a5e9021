"""Rolling deploys: what one build cannot run waits for one that can."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest
from django.test import override_settings

from django_redisjobs import JobStatus, Worker, get_connection, get_job
from django_redisjobs.conf import keys_for
from django_redisjobs.core import lookup
from django_redisjobs.core.consumer import Consumer
from django_redisjobs.core.producer import enqueue
from django_redisjobs.core.records import DEFAULT_KEEP, NewJob, new_id
from django_redisjobs.core.scripts import perform
from django_redisjobs.core.settlements import Settlement
from django_redisjobs.worker import parking as parking_module
from django_redisjobs.worker.parking import LOOK_AT, Parking
from django_redisjobs.worker.stations import posts
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

pytestmark = pytest.mark.usefixtures("redisjobs")


def add_to(value):
    return json.dumps([jobs.add.path, [value, 2], {}])


def park(number):
    """What a worker of an older build does with functions that it lacks."""
    consumer = Consumer(
        get_connection(),
        keys_for("default"),
        f"old-{new_id()}",
        ["default"],
        lease_ms=30_000,
        keep=DEFAULT_KEEP,
        max_crashes=3,
    )
    consumer.register({})
    claimed = consumer.exchange([], want=number).jobs
    assert len(claimed) == number
    outcomes = [Settlement("parked", one, error="unknown") for one in claimed]
    consumer.exchange(outcomes, want=0)


def test_a_parked_job_runs_when_a_worker_that_knows_it_starts(start):
    handle = jobs.add.delay(2, 3)
    park(1)
    assert handle.status() is JobStatus.PARKED

    start()

    assert handle.result(timeout=60) == 5


def test_a_callback_that_nobody_knows_keeps_no_job_parked(redisjobs):
    """Only it is parked, when its job has ended."""
    options = {"on_success": ["tests.nowhere.gone", "default"]}
    new = NewJob(new_id(), "default", json.dumps([jobs.add.path, [2, 3], {}, options]))
    perform(get_connection(), enqueue(keys_for("default"), [new]))
    park(1)
    (post,) = posts(["default"])

    assert Parking().take_up(get_connection(), {post: ["default"]}) == 1

    assert get_job(new.id).status() is JobStatus.PENDING


def test_one_that_nobody_knows_stays_parked(start):
    handle = jobs.add.using(queue="default").delay(2, 3)
    park(1)
    assert handle.status() is JobStatus.PARKED
    worker = start("low")
    assert jobs.add.using(queue="low").delay(1, 1).result(timeout=60) == 2

    assert worker.stop() == 0

    assert handle.status() is JobStatus.PARKED


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([jobs.add.path, [1, 2], {}, {}, {"more": "parts"}]),
        json.dumps([jobs.add.path, [{"$": "Planet", "v": 1}, 2], {}]),
        add_to({"$": "Enum", "v": ["tests.integration.worker.jobs:Sound", "LOUD"]}),
        add_to({"$": "Enum", "v": ["http:HTTPMethod", "SHOUT"]}),
        add_to({"$": "model", "v": "contenttypes.nothing:1@default"}),
        add_to({"$": "model", "v": "contenttypes.contenttype:1@archive"}),
    ],
    ids=["parts", "values", "enum", "member", "model", "database"],
)
def test_what_a_newer_release_writes_waits_for_it(start, body):
    """It is retriable, and no worker of this release takes it up again and again."""
    worker = start("default")
    new = NewJob(new_id(), "default", body)
    perform(get_connection(), enqueue(keys_for("default"), [new]))
    handle = get_job(new.id)

    until(lambda: handle.status() is JobStatus.PARKED)
    assert worker.stop() == 0
    # The first thing that it does.
    second = start("default")
    assert jobs.add.delay(1, 1).result(timeout=60) == 2
    assert second.stop() == 0
    assert handle.status() is JobStatus.PARKED
    assert "pending again" not in second.output
    record = perform(get_connection(), lookup.job(keys_for("default"), new.id))
    assert "this build" in record.error or "is no Enum" in record.error


@pytest.fixture
def broken_apps(tmp_path, monkeypatch, redisjobs):
    """Make an app whose module of jobs has one within that cannot be imported."""
    installed = ["django_redisjobs"]
    with ExitStack() as stack:

        def make(code):
            name = f"shop_{new_id()}"
            folder = tmp_path / name / "jobs"
            folder.mkdir(parents=True)
            (folder.parent / "__init__.py").touch()
            (folder / "__init__.py").touch()
            (folder / "mail.py").write_text(code)
            monkeypatch.syspath_prepend(tmp_path)
            installed.append(name)
            stack.enter_context(override_settings(INSTALLED_APPS=[*installed]))
            new = NewJob(new_id(), "default", f'["{name}.jobs.mail.send",[],{{}}]')
            perform(get_connection(), enqueue(keys_for("default"), [new]))
            return get_job(new.id)

        yield make


@pytest.mark.parametrize("code", ["1 / 0", "def (", "raise SystemExit(3)"])
def test_a_job_whose_module_cannot_be_imported_waits(broken_apps, code):
    broken = broken_apps(code)
    healthy = jobs.add.delay(1, 2)

    Worker(processes=0, burst=True).run()

    assert broken.status() is JobStatus.PARKED
    assert "cannot be imported" in broken.info().error
    assert healthy.result(timeout=0) == 3


@pytest.mark.parametrize(
    "code",
    ["1 / 0", "class End(BaseException): ...\nraise End"],
    ids=["error", "end"],
)
def test_what_such_a_module_raises_keeps_no_other_job_parked(broken_apps, caplog, code):
    broken = broken_apps(code)
    healthy = jobs.add.delay(1, 2)
    park(2)
    (post,) = posts(["default"])
    parking = Parking()

    assert parking.take_up(get_connection(), {post: ["default"]}) == 1
    assert parking.take_up(get_connection(), {post: ["default"]}) == 0

    assert healthy.status() is JobStatus.PENDING
    assert broken.status() is JobStatus.PARKED
    told = [each for each in caplog.records if "stays parked" in each.getMessage()]
    assert len(told) == ("BaseException" in code)


def test_imports_that_do_not_end_are_waited_for_once(
    broken_apps, tmp_path, monkeypatch
):
    """Leases end meanwhile: those of all modules together may take no longer than one's."""
    monkeypatch.setattr(parking_module, "import_seconds", lambda: 0.05)
    code = f"""
import time
from pathlib import Path
from django_redisjobs import job
with open({str(tmp_path / "begun")!r}, "a") as begun:
    begun.write(__name__ + chr(10))
while not Path({str(tmp_path / "gate")!r}).exists():
    time.sleep(0.01)
@job
def send(): ...
"""
    with ExitStack() as stack:
        handles = [broken_apps(code) for _ in range(3)]
        stack.callback((tmp_path / "gate").touch)
        park(3)
        (post,) = posts(["default"])
        parking = Parking()

        for number in (1, 2):
            assert parking.take_up(get_connection(), {post: ["default"]}) == 0
            begun = (tmp_path / "begun").read_text().split()
            assert len(begun) == number
    monkeypatch.setattr(parking_module, "import_seconds", lambda: 30.0)

    def all_are_ready():
        parking.take_up(get_connection(), {post: ["default"]})
        return {handle.status() for handle in handles} == {JobStatus.PENDING}

    until(all_are_ready)


@pytest.mark.parametrize("with_notes", [False, True])
def test_what_has_run_is_not_parked_for_what_it_returned(start, with_notes):
    start()

    handle = jobs.return_the_unknown.delay(with_notes)

    assert handle.wait(timeout=30) is JobStatus.FAILED
    assert handle.info().attempts[-1].exception_class.endswith("UnknownJobFunction")


def test_parked_jobs_behind_many_others_are_taken_up_too(redisjobs):
    """Those that nobody knows must not hide those that somebody does."""
    known = jobs.add.delay(2, 3)
    park(1)
    assert known.status() is JobStatus.PARKED
    keys, client = keys_for("default"), get_connection()
    strangers = [
        NewJob(new_id(), "default", '["tests.nowhere.gone",[],{}]')
        for _ in range(LOOK_AT + 1)
    ]
    perform(client, enqueue(keys, strangers))
    park(len(strangers))
    (post,) = posts(["default"])
    parking = Parking()

    assert parking.take_up(client, {post: ["default"]}) == 0
    assert parking.take_up(client, {post: ["default"]}) == 1

    assert known.status() is JobStatus.PENDING
