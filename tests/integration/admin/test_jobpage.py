"""One job's page: what happened to it, when, on which worker, and what comes next."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.utils import timezone

from django_redisjobs import job
from django_redisjobs.admin import timeline
from django_redisjobs.admin.formats import when
from django_redisjobs.admin.jobpage import JobPage
from django_redisjobs.admin.sources import moment
from django_redisjobs.core.records import AttemptRecord
from tests.integration.core.store import Store

from .conftest import Staff

JOBS = "/admin/redisjobs/job/"
TRACE = """Traceback (most recent call last):
  File "/app/shop/jobs.py", line 7, in charge
    gateway.post(order)
  File "/venv/lib/python3.12/site-packages/requests/api.py", line 9, in post
    raise ConnectionError("no")
ConnectionError: no
"""


@job(retry=5, timeout=90)
def charge(order: object, *, by: str = "card") -> None: ...


CHARGE = charge.path


def look(browser: Client, job_id: str) -> tuple[JobPage, str]:
    answer = browser.get(f"{JOBS}{job_id}/change/")
    assert answer.status_code == 200
    return answer.context["job"], answer.content.decode()


def titles(page: JobPage) -> list[str]:
    return [str(step.title) for step in page.timeline()]


def facts(page: JobPage) -> dict[str, str]:
    return {str(name): str(value) for name, value in page.facts()}


@pytest.mark.parametrize("delay_ms", [None, 60_000])
def test_its_times_are_right_without_use_tz(
    store: Store, browser: Client, settings: Any, delay_ms: int | None
):
    settings.USE_TZ = False
    (added,) = store.add("low", delay_ms=delay_ms)
    store.worker("low").claim()

    page, _ = look(browser, added)

    note = [str(step.note) for step in page.timeline()][-1]
    assert re.search(r"in 60 s|in 59|in 1 m|runs for (under 1 ms|\d+ ms)", note), note


def fail(store: Store, started_ms: int = 0, ended_ms: int = 0, **more: Any) -> None:
    """Have the next job of the queue "low" run and fail."""
    worker = store.worker("low")
    (claimed,) = worker.claim()
    record = AttemptRecord(
        *(claimed.attempts + 1, claimed.run, worker.name, started_ms, ended_ms),
        *("failed", "ConnectionError", "no", TRACE),
    )
    worker.settle(claimed, attempt=record.to_json(), **more)
    store.rescue(worker)


def test_the_timeline_of_a_job_that_waits_for_its_retry(store: Store, browser: Client):
    (job_id,) = store.add("low", body=json.dumps([CHARGE, [7], {}]))
    enqueued = store.record(job_id).enqueued_ms
    times = {"started_ms": enqueued + 2_000, "ended_ms": enqueued + 5_000}
    fail(store, **times, kind="retry", delay_ms=60_000)

    page, text = look(browser, job_id)

    assert titles(page) == ["Enqueued", "Run 1", "Next run"]
    _, run, coming = page.timeline()
    assert (run.tone, run.note) == ("failed", "waited 2.0 s, ran 3.0 s")
    assert coming.note.startswith("in ")
    assert facts(page)["Retries"] == "4 of 5 left"
    assert facts(page)["Timeout"] == "1 min 30 s"
    assert facts(page)["Crashes"].endswith("0</span>")
    assert 'data-rj-live="rj-job"' in text
    assert "data-rj-final" not in text


def test_the_timeline_of_a_running_and_of_an_ended_job(store: Store, browser: Client):
    (job_id,) = store.add("low")
    worker = store.worker("low", name="w-7")
    (claimed,) = worker.claim()

    page, _ = look(browser, job_id)
    assert titles(page) == ["Enqueued", "Run 1"]
    assert "Runs for" in facts(page)
    assert "/admin/redisjobs/worker/w-7/change/" in facts(page)["Worker"]

    now = store.now_ms()
    worker.settle(claimed, started_ms=now - 1500, finished_ms=now)
    page, text = look(browser, job_id)
    assert titles(page) == ["Enqueued", "Run 1", "Succeeded"]
    assert "altogether" in str(list(page.timeline())[-1].note)
    assert "data-rj-live" not in text
    assert "data-rj-final" in text


def test_a_scheduled_job_is_due_once(store: Store, browser: Client):
    (job_id,) = store.add("low", delay_ms=60_000)

    page, _ = look(browser, job_id)
    assert titles(page) == ["Enqueued", "Due"]
    assert "Due" in facts(page)

    store.promote(job_id)
    page, _ = look(browser, job_id)
    assert titles(page)[-1] == "Pending"


@pytest.mark.parametrize("due_ms", [253_402_300_799_999, 2**53 - 10])
def test_a_job_that_is_due_when_dates_have_ended(
    store: Store, browser: Client, due_ms: int
):
    (job_id,) = store.add("low", due_ms=due_ms, ttl_ms=1)

    with timezone.override("Asia/Tokyo"):
        page, _ = look(browser, job_id)
        listed = browser.get(JOBS)

    assert "9999" in facts(page)["Due"]
    assert listed.status_code == 200
    assert job_id in listed.content.decode()


def test_who_polls_leaves_messages_to_the_page_that_is_loaded(
    store: Store, staff: Staff
):
    browser = staff("view_job", "cancel_job")
    (cancelled,), (other,) = store.add("low"), store.add("high")
    live = {"headers": {"X-Redisjobs-Live": "rj-job"}}
    answer = browser.post(
        f"{JOBS}{cancelled}/act/", {"action": "cancel", "confirmed": "1"}
    )

    polled = browser.get(f"{JOBS}{other}/change/", **live).content.decode()
    loaded = browser.get(answer.url).content.decode()

    assert "1 cancelled." not in polled
    assert "1 cancelled." in loaded


def test_who_polls_leaves_messages_also_where_redis_is_away(
    store: Store, staff: Staff, redisjobs: dict[str, Any]
):
    browser = staff("view_job", "view_queue", "cancel_job")
    (job_id,) = store.add("low")
    answer = browser.post(
        f"{JOBS}{job_id}/act/", {"action": "cancel", "confirmed": "1"}
    )

    with override_settings(REDISJOBS={**redisjobs, "URL": "redis://127.0.0.1:1/0"}):
        for path in ("/admin/redisjobs/queue/", f"{JOBS}{job_id}/change/"):
            polled = browser.get(path, headers={"X-Redisjobs-Live": "rj-overview"})
            assert polled.status_code == 503
            assert "1 cancelled." not in polled.content.decode()

    assert "1 cancelled." in browser.get(answer.url).content.decode()


def test_pages_have_no_inline_script_or_style(store: Store, browser: Client):
    (job_id,) = store.add("low", body=json.dumps([CHARGE, [7], {}]))
    fail(store, kind="retry", delay_ms=60_000)
    store.worker("low", name="w-9")

    for path in (
        f"{JOBS}{job_id}/change/",
        "/admin/redisjobs/worker/",
        "/admin/redisjobs/worker/w-9/change/",
    ):
        _, text = browser.get(path).content.decode().split('id="main"', 1)
        assert " style=" not in text
        assert "<style" not in text
        assert not re.search(r"<[^>]* on\w+=", text)
        scripts_ = text.split("<script")[1:]
        assert all("src=" in part.partition(">")[0] for part in scripts_)


def test_old_runs_are_counted(
    store: Store, browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(timeline, "RUNS_SHOWN", 1)
    (job_id,) = store.add("low")
    for _ in range(3):
        fail(store, kind="failed")
        store.retry(job_id)

    page, _ = look(browser, job_id)

    assert titles(page) == ["Enqueued", "2 earlier runs", "Run 3", "Pending"]
    assert len(page.attempts) == 3


def test_tracebacks_tell_own_code_from_foreign_code(store: Store, browser: Client):
    (job_id,) = store.add("low")
    fail(store, kind="failed")

    page, text = look(browser, job_id)

    (attempt,) = page.attempts
    assert [frame.kind for frame in attempt.traceback] == [
        *("text", "own", "foreign", "text")
    ]
    assert "gateway.post(order)" in attempt.traceback[1].text
    assert 'class="rj-frame rj-frame-own"' in text
    assert attempt.is_open


def test_arguments_have_names_and_links_to_rows(store: Store, staff: Staff):
    pk = User.objects.create_user("eva").pk
    order = {"$": "model", "v": f"auth.user:{pk}@default"}
    body = json.dumps([CHARGE, [[order, order]], {"by": "cash"}])
    (job_id,) = store.add("low", body=body)

    page, text = look(staff("view_job"), job_id)
    assert [argument.name for argument in page.arguments] == ["order", "by"]
    assert f"auth.user:{pk}" in text.replace("&#x27;", "'") or "auth.user" in text
    assert not page.arguments[0].links

    root = User.objects.create_superuser("root")
    browser = Client()
    browser.force_login(root)
    page, _ = look(browser, job_id)
    (link,) = page.arguments[0].links
    assert f'href="/admin/auth/user/{pk}/change/"' in link


def test_a_callback_and_its_job_lead_to_each_other(store: Store, browser: Client):
    body = json.dumps(["shop.pay", [], {}, {"on_success": ["shop.paid", "low"]}])
    (job_id,) = store.add("low", body=body, callbacks=1)
    worker = store.worker("low")
    worker.settle(*worker.claim())

    page, _ = look(browser, job_id)
    assert f"{JOBS}{job_id}-s1/change/" in facts(page)["Callback of its success"]
    assert "pending" in facts(page)["Callback of its success"]
    page, _ = look(browser, f"{job_id}-s1")
    assert f"{JOBS}{job_id}/change/" in facts(page)["Callback of"]
    assert "succeeded" in facts(page)["Callback of"]

    store.delete(job_id)
    page, _ = look(browser, f"{job_id}-s1")
    assert facts(page)["Callback of"] == job_id


def test_a_job_that_ended_more_than_once_has_a_callback_of_each_end(
    store: Store, browser: Client
):
    options = {
        "on_success": ["shop.paid", "high"],
        "on_failure": ["shop.unpaid", "high"],
    }
    body = json.dumps(["shop.pay", [], {}, options])
    (job_id,) = store.add("low", body=body, callbacks=3)
    fail(store, kind="failed")
    store.retry(job_id)
    page, _ = look(browser, job_id)
    assert f"{job_id}-f1" in facts(page)["Callback of its failure"]
    worker = store.worker("low")
    worker.settle(*worker.claim())

    page, _ = look(browser, job_id)

    assert f"{job_id}-s2" in facts(page)["Callback of its success"]
    assert f"{job_id}-f1" in facts(page)["Callback of its failure"]


def test_what_it_logged(store: Store, browser: Client):
    (job_id,) = store.add("low")
    lines = ((1_700_000_000_000, "WARNING", "shop", "<b>slow</b>"),)
    worker = store.worker("low")
    (claimed,) = worker.claim()
    record = AttemptRecord(1, 1, "w", 1, 2, "failed", "E", "no", "", lines)
    worker.settle(claimed, kind="failed", attempt=record.to_json())

    page, text = look(browser, job_id)

    assert page.attempts[0].logs[0].level == "WARNING"
    assert "&lt;b&gt;slow&lt;/b&gt;" in text
    assert "rj-log-warning" in text


def test_a_job_whose_queue_left_the_settings_has_its_surroundings(
    store: Store, browser: Client
):
    body = json.dumps(["shop.pay", [], {}, {"on_success": ["shop.paid", "gone"]}])
    (job_id,) = store.add("gone", body=body, callbacks=1)
    worker = store.worker("gone")
    worker.settle(*worker.claim())
    worker.settle(*worker.claim(), kind="retry", delay_ms=60_000)
    due_ms = store.client.zscore(store.keys.scheduled("gone"), f"{job_id}-s1")

    page, _ = look(browser, job_id)
    assert f"{JOBS}{job_id}-s1/change/" in facts(page)["Callback of its success"]
    page, _ = look(browser, f"{job_id}-s1")
    assert f"{JOBS}{job_id}/change/" in facts(page)["Callback of"]
    assert facts(page)["Due"] == str(when(moment(due_ms)))


def test_a_page_costs_at_most_five_round_trips(
    store: Store, browser: Client, trips: list[int]
):
    body = json.dumps(["shop.pay", [], {}, {"on_success": ["shop.paid", "low"]}])
    (job_id,) = store.add("low", body=body, callbacks=1)
    worker = store.worker("low")
    worker.settle(*worker.claim())
    (scheduled,) = store.add("low", delay_ms=60_000)
    for name in (job_id, f"{job_id}-s1", scheduled):
        trips.clear()
        look(browser, name)
        assert len(trips) <= 5, trips
