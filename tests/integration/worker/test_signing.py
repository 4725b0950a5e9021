"""SIGNING_KEYS: who can write to Redis cannot have jobs run."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_redisjobs import JobStatus, conf, get_connection, get_job
from django_redisjobs.conf import keys_for
from django_redisjobs.core import lookup
from django_redisjobs.core.producer import enqueue
from django_redisjobs.core.records import NewJob, new_id
from django_redisjobs.core.scripts import perform
from django_redisjobs.vetting import vet
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

pytestmark = pytest.mark.usefixtures("redisjobs")

KEY, OTHER = "k" * 40, "o" * 40


@pytest.fixture
def with_keys(redisjobs):
    """Settings of this process: what it enqueues is signed with the first of these."""

    def change(*keys):
        return override_settings(REDISJOBS={**redisjobs, "SIGNING_KEYS": keys})

    return change


def forge(body: str):
    """Write a job as somebody would who has nothing but a connection."""
    new = NewJob(new_id(), "default", body)
    perform(get_connection(), enqueue(keys_for("default"), [new]))
    return get_job(new.id)


def stored(handle) -> str:
    """The body of a job, as Redis has it."""
    return (
        get_connection().get(keys_for("default").job(handle.id)).decode().split("\n")[1]
    )


def parked(handle) -> str:
    """Why it is parked, once it is."""
    until(lambda: handle.status() is JobStatus.PARKED)
    return handle.info().error


def test_signed_jobs_run_and_forged_ones_wait_for_people(start, with_keys):
    worker = start(settings={"SIGNING_KEYS": [KEY]})
    with with_keys(KEY):
        good = jobs.add.delay(2, 3)
        copied = forge(stored(good))
    changed = forge(stored(good).replace("[2,3]", "[2,4]"))
    unsigned = forge(json.dumps([jobs.add.path, [1, 1], {}]))

    assert good.result(timeout=60) == 5
    assert "of no key in SIGNING_KEYS" in parked(copied)
    assert "of no key in SIGNING_KEYS" in parked(changed)
    assert "is not signed" in parked(unsigned)
    assert not unsigned.info().attempts
    assert f"{unsigned.id} parked: SignatureRejected" in worker.output
    # Nobody's word but that of a key makes them run.
    unsigned.retry()
    assert "is not signed" in parked(unsigned)


def test_what_another_program_signed_is_vetted_as_it_was_signed(with_keys):
    """People are shown another text of it."""
    job_id, keys = new_id(), keys_for("default")
    with with_keys(KEY):
        body = json.dumps([jobs.add.path, ["caf\udce9", "!"], {}])
        signed = conf.get_settings().signatures.sign(job_id, body)
        new = NewJob(job_id, "default", signed)
        perform(get_connection(), enqueue(keys, [new]))
        record = perform(get_connection(), lookup.job(keys, job_id))

        assert vet(record) is jobs.add

    assert r"caf\\udce9" in record.shown_body


def test_everything_that_enqueues_signs(start, with_keys, events):
    start(settings={"SIGNING_KEYS": [KEY]})
    with with_keys(KEY):
        first, second = jobs.add.delay_many([(1, 1), {"a": 2, "b": 2}])
        flaky = jobs.flaky.delay(1)
        call_command(
            "redisjobs", "enqueue", jobs.sleep_async.path, "0", "hi", verbosity=0
        )

        assert (first.result(timeout=60), second.result(timeout=60)) == (2, 4)
        assert flaky.result(timeout=60) == 2
        # A retry of an ended job is that job.
        first.retry()
        assert first.result(timeout=60) == 2
    assert events.wait()[:2] == ["started", "hi"]


def test_callbacks_are_signed_with_their_job(start, with_keys, events):
    start(settings={"SIGNING_KEYS": [KEY]})
    with with_keys(KEY):
        well = jobs.with_callbacks.delay(well=True)
        assert events.wait() == ["success", well.id]
        badly = jobs.with_callbacks.delay(well=False)
        assert events.wait() == ["failure", badly.id]
        assert get_job(f"{badly.id}-f1").info().priority == 7
        well.retry()
        assert events.wait() == ["success", well.id]


def test_a_parked_job_runs_once_a_worker_has_its_key(start, with_keys):
    old = start(settings={"SIGNING_KEYS": [OTHER]})
    with with_keys(KEY):
        handle = jobs.add.delay(2, 3)
    parked(handle)
    assert old.stop() == 0

    start(settings={"SIGNING_KEYS": [OTHER, KEY]})

    assert handle.result(timeout=60) == 5


def test_unsigned_jobs_run_during_the_roll_out(start):
    start(settings={"SIGNING_KEYS": [KEY, None]})

    assert jobs.add.delay(2, 3).result(timeout=60) == 5


def test_workers_without_keys_run_signed_jobs(start, with_keys):
    start()
    with with_keys(KEY):
        handle = jobs.add.delay(2, 3)

    assert handle.result(timeout=60) == 5


def test_people_cannot_run_a_forged_one_by_hand(with_keys, capsys):
    forged = forge(json.dumps([jobs.add.path, [1, 1], {}]))

    with with_keys(KEY):
        with pytest.raises(CommandError, match="not signed"):
            call_command("redisjobs", "run", forged.id)
        with pytest.raises(CommandError, match="1 of 1"):
            call_command("redisjobs", "doctor", "--code")

    assert "not signed" in capsys.readouterr().out
    assert forged.status() is JobStatus.PENDING
