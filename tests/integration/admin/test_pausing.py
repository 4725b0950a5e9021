"""Pausing a queue in the admin: for whom, with which words, and what it does."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client, override_settings

from django_redisjobs import conf, get_queue
from tests.integration.core.store import Store

from .conftest import Staff

QUEUES = "/admin/redisjobs/queue/"
PAGE = f"{QUEUES}low/pause/"


@pytest.fixture
def operator(staff: Staff) -> Client:
    return staff("view_queue", "pause_queue")


def test_a_queue_is_paused_and_goes_on(store: Store, operator: Client):
    assert f'href="{PAGE}"' in operator.get(QUEUES).content.decode()
    assert "<form" in operator.get(PAGE).content.decode()

    answer = operator.post(
        PAGE, {"pause": "1", "reason": "<b>moving</b>", "length": "1h"}
    )

    assert (answer.status_code, answer.url) == (302, QUEUES)
    paused = get_queue("low").counts().paused
    assert paused is not None
    assert (paused.reason, paused.by) == ("<b>moving</b>", "ada")
    assert 3_500_000 < paused.until_ms - paused.since_ms <= 3_600_000
    shown = operator.get(PAGE).content.decode()
    assert "&lt;b&gt;moving&lt;/b&gt;" in shown
    assert 'name="resume"' in shown

    answer = operator.post(PAGE, {"resume": "1"})

    assert get_queue("low").counts().paused is None
    (words,) = [str(one) for one in get_messages(answer.wsgi_request)][-1:]
    assert words == "low goes on."
    first, second = LogEntry.objects.order_by("pk")
    assert first.object_id == second.object_id == "low"
    assert "is paused" in first.change_message


@pytest.mark.parametrize("length", ["soon", "0", "-5m"])
def test_a_length_that_is_none_is_refused_on_the_form(
    store: Store, operator: Client, length: str
):
    answer = operator.post(PAGE, {"pause": "1", "reason": "", "length": length})

    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert get_queue("low").counts().paused is None


def test_those_who_may_only_look_have_no_link_and_are_refused(
    store: Store, browser: Client
):
    assert PAGE not in browser.get(QUEUES).content.decode()
    assert browser.get(PAGE).status_code == 403
    assert browser.post(PAGE, {"pause": "1"}).status_code == 403
    assert get_queue("low").counts().paused is None


def test_redis_is_asked_for_the_queue_alone(
    store: Store, operator: Client, trips: list[int]
):
    store.add("low")
    store.add("default")

    for data, most in ({}, 1), ({"pause": "1"}, 2), ({"resume": "1"}, 2):
        trips.clear()
        (operator.post if data else operator.get)(PAGE, data)
        assert len(trips) <= most, (data, trips)


def test_a_queue_that_is_none_is_not_found(store: Store, operator: Client):
    assert operator.get(f"{QUEUES}nothing/pause/").status_code == 404


def test_a_queue_that_left_the_settings_is_paused_and_goes_on(
    store: Store, operator: Client
):
    store.add("gone")
    page = f"{QUEUES}gone/pause/"

    operator.post(page, {"pause": "1"})

    assert f'href="{page}"' in operator.get(QUEUES).content.decode()
    assert 'name="resume"' in operator.get(page).content.decode()
    assert store.worker("gone").claim() == []
    operator.post(page, {"resume": "1"})
    assert len(store.worker("gone").claim()) == 1


def test_a_queue_that_left_the_settings_is_paused_in_all_of_its_groups(
    redisjobs: dict[str, Any], store: Store, operator: Client
):
    queues = {"high": {}, "bulk": {"GROUP": "other"}}
    page = f"{QUEUES}gone/pause/"
    # Of long ago: Redis remembers the name.
    store.delete(*store.add("gone"))

    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        other = Store(store.client, conf.keys_for("bulk"))
        other.add("gone")
        operator.post(page, {"pause": "1"})

        assert other.worker("gone").claim() == []
        assert 'name="resume"' in operator.get(page).content.decode()
        operator.post(page, {"resume": "1"})
        assert len(other.worker("gone").claim()) == 1


def test_a_pause_from_before_a_queue_left_the_settings_is_shown(
    redisjobs: dict[str, Any], store: Store, operator: Client
):
    queues = {"high": {}, "bulk": {"GROUP": "other"}}
    store.add("gone")

    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        other = Store(store.client, conf.keys_for("bulk"))
        other.add("gone")
        other.pause("gone")

        (card,) = [
            row
            for row in operator.get(QUEUES).context["page"].queues
            if row.name == "gone"
        ]
        assert card.paused


def test_redis_away_is_a_page_that_says_so(operator: Client):
    with override_settings(REDISJOBS={"URL": "redis://127.0.0.1:1"}):
        answer = operator.post(
            f"{QUEUES}default/pause/", {"pause": "1", "reason": "", "length": ""}
        )

    assert answer.status_code == 503
