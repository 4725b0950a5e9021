"""Purging a queue in the admin: for whom, after which question, and what is left."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.messages import get_messages
from django.test import Client, override_settings

from django_redisjobs import JobStatus, conf
from django_redisjobs.admin import purging
from django_redisjobs.exceptions import ServerUnavailable
from tests.integration.core.store import Store

from .conftest import Staff

QUEUES = "/admin/redisjobs/queue/"
PAGE = f"{QUEUES}low/purge/"
TWO_GROUPS = {"high": {}, "bulk": {"GROUP": "other"}}


@pytest.fixture
def operator(staff: Staff) -> Client:
    return staff("view_queue", "purge_queue")


def test_what_waits_is_deleted_after_a_question(store: Store, operator: Client):
    (running,) = store.add("low")
    store.worker("low").claim()
    (other,) = store.add("high")
    waiting = [*store.add("low", 2), *store.add("low", delay_ms=60_000)]
    assert f'href="{PAGE}"' in operator.get(QUEUES).content.decode()

    asked = operator.get(PAGE).content.decode()
    assert "2 pending and 1 scheduled" in asked
    assert operator.post(PAGE).status_code == 200
    assert store.status(waiting[0]) is JobStatus.PENDING

    answer = operator.post(PAGE, {"confirmed": "1"})

    assert (answer.status_code, answer.url) == (302, QUEUES)
    assert [str(one) for one in get_messages(answer.wsgi_request)] == [
        "3 jobs of low are deleted."
    ]
    assert {store.status(job_id) for job_id in waiting} == {None}
    assert store.status(running) is JobStatus.RUNNING
    assert store.status(other) is JobStatus.PENDING
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.action_flag) == ("low", DELETION)
    assert "Nothing waits" in operator.get(PAGE).content.decode()


def test_what_was_purged_before_redis_went_away_is_told(
    store: Store, operator: Client, monkeypatch: pytest.MonkeyPatch
):
    store.add("low", 1200)
    parts = iter([purging.purge_part])

    def failing(queue: str) -> tuple[bool, int]:
        for part in parts:
            return part(queue)
        raise ServerUnavailable("gone")

    monkeypatch.setattr(purging, "purge_part", failing)

    answer = operator.post(PAGE, {"confirmed": "1"})

    assert answer.status_code == 503
    (entry,) = LogEntry.objects.all()
    left = store.client.llen(store.keys.pending("low"))
    assert entry.change_message.startswith(
        f"{1200 - left} jobs of low are deleted. Then "
    )
    assert entry.change_message in answer.content.decode()


def test_one_click_is_bounded(
    store: Store, operator: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(purging, "MOST", 500)
    store.add("low", 1200)

    answer = operator.post(PAGE, {"confirmed": "1"})

    (words,) = [str(one) for one in get_messages(answer.wsgi_request)]
    assert "do it again" in words
    assert 0 < store.do(_pending(store)) <= 700


def _pending(store: Store):
    (length,) = yield [("LLEN", store.keys.pending("low"))]
    return length


def test_those_without_the_permission_are_refused(store: Store, browser: Client):
    store.add("low")

    assert PAGE not in browser.get(QUEUES).content.decode()
    assert browser.get(PAGE).status_code == 403
    assert browser.post(PAGE, {"confirmed": "1"}).status_code == 403
    assert store.do(_pending(store)) == 1


def test_the_question_asks_redis_once(store: Store, operator: Client, trips: list[int]):
    store.add("low")
    trips.clear()

    assert "1 pending" in operator.get(PAGE).content.decode()
    assert len(trips) == 1


def test_a_queue_that_left_the_settings_is_purged(
    redisjobs: dict[str, Any], store: Store, operator: Client
):
    (waiting,) = store.add("gone")
    page = f"{QUEUES}gone/purge/"

    with override_settings(REDISJOBS={**redisjobs, "QUEUES": TWO_GROUPS}):
        assert f'href="{page}"' in operator.get(QUEUES).content.decode()
        operator.post(page, {"confirmed": "1"})

        assert store.status(waiting) is None
        # Of what holds nothing more there is nothing to say.
        assert page not in operator.get(QUEUES).content.decode()


def test_what_a_queue_that_left_the_settings_has_in_several_groups_is_purged(
    redisjobs: dict[str, Any], store: Store, operator: Client
):
    page = f"{QUEUES}gone/purge/"

    with override_settings(REDISJOBS={**redisjobs, "QUEUES": TWO_GROUPS}):
        other = Store(store.client, conf.keys_for("bulk"))
        before, after = *store.add("gone"), *other.add("gone", delay_ms=60_000)

        assert "1 pending and 1 scheduled" in operator.get(page).content.decode()
        answer = operator.post(page, {"confirmed": "1"})

        (words,) = [str(one) for one in get_messages(answer.wsgi_request)]
        assert words == "2 jobs of gone are deleted."
        assert store.status(before) is other.status(after) is None
        assert page not in operator.get(QUEUES).content.decode()


def test_a_queue_that_is_nowhere(store: Store, operator: Client):
    assert operator.get(f"{QUEUES}nowhere/purge/").status_code == 404
