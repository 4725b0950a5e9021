"""Running a group of failures again: for whom, after which question, and only those."""

from __future__ import annotations

import html
import json
import re

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from django_redisjobs import JobStatus
from django_redisjobs.core.records import AttemptRecord
from tests.integration.core.store import Store

from .conftest import Staff

QUEUES = "/admin/redisjobs/queue/"


@pytest.fixture
def operator(staff: Staff) -> Client:
    return staff("view_queue", "view_job", "retry_job")


def fail(
    store: Store, function: str, reason: str, queue: str = "low", message: str = "no"
) -> str:
    (job_id,) = store.add(queue, body=json.dumps([function, [], {}]))
    worker = store.worker(queue)
    (job,) = worker.claim()
    attempt = AttemptRecord(1, 1, "w", 1, 2, "failed", reason, message, "")
    worker.settle(job, kind="failed", attempt=attempt.to_json())
    return job_id


def addresses(browser: Client, **query: str) -> list[str]:
    """Where the buttons of the groups lead."""
    text = browser.get(QUEUES, query).content.decode()
    return [
        html.unescape(each) for each in re.findall(r'action="([^"]*retry-[^"]*)"', text)
    ]


def test_a_group_runs_again_and_nothing_else(store: Store, operator: Client):
    declined = [
        fail(store, "shop.charge", "bank.Declined & Co"),
        fail(store, "shop.charge", "bank.Declined & Co", "high"),
    ]
    others = [
        fail(store, "shop.charge", "OSError"),
        fail(store, "shop.refund", "bank.Declined & Co"),
    ]
    address = addresses(operator, period="24h")[0]

    question = operator.post(address)
    assert question.status_code == 200
    assert "2 jobs" in question.content.decode()
    assert "shop.charge: bank.Declined &amp; Co" in question.content.decode()
    assert {store.status(job_id) for job_id in declined} == {JobStatus.FAILED}

    answer = operator.post(address, {"confirmed": "1"})
    assert answer.url == f"{QUEUES}?period=24h"
    assert [str(one) for one in get_messages(answer.wsgi_request)] == ["2 retried."]
    assert {store.status(job_id) for job_id in declined} == {JobStatus.PENDING}
    assert {store.status(job_id) for job_id in others} == {JobStatus.FAILED}


def test_a_group_has_its_own_row(store: Store, operator: Client):
    fail(store, "shop.mail", "OSError")
    alone = re.findall(r'<tr id="(rj-group-\w+)">', shown_at(operator))
    fail(store, "shop.charge", "OSError")
    both = re.findall(r'<tr id="(rj-group-\w+)">', shown_at(operator))

    # Another one came before it: it is the same row even so.
    assert alone == both[1:]
    assert len(set(both)) == 2


def shown_at(browser: Client) -> str:
    return browser.get(QUEUES).content.decode()


def test_crashes_are_one_group_however_much_memory_they_had(
    store: Store, operator: Client
):
    ends = [
        f"crashed: exit status 3; its peak memory was {peak} MB"
        for peak in ("56", "75", "1,150")
    ]
    crashed = [fail(store, "shop.charge", "", message=end) for end in ends]
    other = fail(store, "shop.charge", "", message="crashed: exit status 4")

    address, _ = addresses(operator)
    operator.post(address, {"confirmed": "1"})

    assert {store.status(job_id) for job_id in crashed} == {JobStatus.PENDING}
    assert store.status(other) is JobStatus.FAILED


def test_a_group_that_is_gone(store: Store, operator: Client):
    address = f"{QUEUES}retry-group/?function=shop.charge&reason=OSError&period=x"

    answer = operator.post(address, {"confirmed": "1"})

    assert "nothing to do" in str(next(iter(get_messages(answer.wsgi_request))))
    assert operator.get(address).status_code == 405


def test_those_without_the_permission_are_refused(store: Store, browser: Client):
    job_id = fail(store, "shop.charge", "OSError")

    assert addresses(browser) == []
    address = f"{QUEUES}retry-group/?function=shop.charge&reason=OSError"
    assert browser.post(address, {"confirmed": "1"}).status_code == 403
    assert store.status(job_id) is JobStatus.FAILED
