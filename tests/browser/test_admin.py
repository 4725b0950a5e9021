"""What people do in the admin, clicked in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.test import override_settings

from django_redisjobs import JobStatus
from django_redisjobs.core.records import AttemptRecord
from django_redisjobs.queries import jobs
from tests.browser.jobs import EVIL, add, fail_first, wait_at_gate
from tests.integration.core.store import Store

from .conftest import JOBS, QUEUES, WORKERS, Browser

# The second queue of the settings.
CARD = "#rj-queue-2"


def test_a_job_from_a_paused_queue_to_its_end(
    browser: Browser, store: Store, worker: None
):
    browser.open(QUEUES)
    browser.click(f"{CARD} .rj-pause-link")
    browser.find("[name=reason]").send_keys("stocktaking")
    browser.click("[type=submit][name=pause]")
    browser.wait_for_text("stocktaking", CARD)

    browser.mark()
    handle = add.delay(3, 4)
    browser.wait(lambda: count(browser, "pending") == "1", "the job to appear")
    assert handle.status() is JobStatus.PENDING
    assert browser.is_same_page()

    browser.click(f"{CARD} .rj-pause-link")
    browser.click("[type=submit][name=resume]")
    browser.mark()
    browser.wait(lambda: count(browser, "pending") == "0", "the job to be taken")
    assert handle.result(timeout=60) == 7
    browser.wait(
        lambda: (
            "1 succeeded" in browser.find("#rj-chart-text").get_attribute("textContent")
        ),
        "its end to be seen",
    )
    assert browser.is_same_page()

    browser.click(f"{CARD} h3 a")
    browser.click("#result_list tbody th a")
    assert "succeeded" in browser.text(".rj-title")
    assert "add" in browser.text(".rj-title")
    assert browser.text("#rj-job pre.rj-box") == "7"


def count(browser: Browser, status: str) -> str:
    """The number on the card of the queue."""
    return browser.text(f"{CARD} .rj-counts .rj-{status} dd")


def test_a_job_is_watched_until_it_has_finished(
    browser: Browser, store: Store, worker: None, open_gate: Callable[[], None]
):
    handle = wait_at_gate.delay()
    browser.open(f"{JOBS}{handle.id}/change/")
    browser.mark()
    browser.wait_for_text("running", ".rj-title")

    open_gate()

    browser.wait_for_text("succeeded", ".rj-title")
    browser.wait_for_text("through the gate", "#rj-job")
    assert browser.is_same_page()
    # Nothing is asked any more.
    assert not browser.find(".rj-live").is_displayed()


def test_a_failed_job_is_run_again(browser: Browser, store: Store, worker: None):
    handle = fail_first.delay("no such order")
    handle.wait(timeout=60)
    browser.open(f"{JOBS}?status__exact=failed")
    browser.click("#result_list tbody th a")
    assert "ValueError: no such order" in browser.text()

    browser.click("#rj-do-retry")

    assert "1 retried." in browser.text(".messagelist")
    browser.wait_for_text("succeeded", ".rj-title")
    assert handle.result(timeout=60) == "better now"


def test_a_thousand_jobs_are_cancelled_by_one_click(browser: Browser, store: Store):
    store.pause("low")
    ids = store.add("low", 1_000)
    (other,) = store.add("high")
    browser.open(f"{JOBS}?queue=low&status__exact=pending")

    browser.find("#action-toggle").click()
    browser.find(".actions .question a").click()
    assert "All 1000 selected" in browser.text(".actions")
    browser.choose(".actions select[name=action]", "cancel")
    browser.click(".actions button")
    assert "1000 jobs (1000 pending)" in browser.text()
    browser.click("form.rj-page [type=submit]")

    assert "1000 cancelled." in browser.text(".messagelist")
    assert jobs.cancelled().count() == 1_000
    assert store.status(ids[0]) is JobStatus.CANCELLED
    assert store.status(other) is JobStatus.PENDING


def test_a_page_that_is_not_fresh_says_so(browser: Browser, store: Store):
    (job_id,) = store.add("elsewhere")
    browser.open(f"{JOBS}{job_id}/change/")
    # As after signing in again elsewhere.
    browser.run("document.querySelector(arguments[0]).value = 'old'", TOKEN)
    browser.wait(
        lambda: browser.find(TOKEN).get_attribute("value") != "old", "a token of now"
    )

    browser.run("window.fetch = () => new Promise(() => {})")
    browser.wait_for_text("no answer", ".rj-live")

    browser.open(f"{JOBS}{job_id}/change/")
    store.delete(job_id)
    browser.wait_for_text("load the page again", ".rj-live")


TOKEN = "#rj-job [name=csrfmiddlewaretoken]"


def test_who_may_only_look_sees_no_button_and_is_refused(
    sign_in: Callable[..., Browser], store: Store
):
    browser = sign_in("view_job", "view_queue", "view_worker")
    (job_id,) = store.add("low")

    browser.open(f"{JOBS}{job_id}/change/")
    assert browser.all(".rj-button") == []
    browser.open(JOBS)
    assert browser.all("[name=action]") == []
    browser.open(QUEUES)
    assert browser.all(".rj-pause-link") == []
    assert browser.complaints() == []

    for path, fields in (
        (f"{JOBS}{job_id}/act/", {"action": "cancel", "confirmed": "1"}),
        (JOBS, {"action": "cancel", "_selected_action": job_id, "confirmed": "1"}),
        (f"{QUEUES}low/pause/", {"pause": "1"}),
    ):
        assert send(browser, path, fields) == 403
    assert store.status(job_id) is JobStatus.PENDING
    # The refusals themselves.
    assert all("403" in each for each in browser.complaints())


SEND = """
const [path, fields, done] = arguments;
const body = new URLSearchParams(fields);
fetch(path, {method: "POST", body, redirect: "manual"}).then(answer => done(answer.status));
"""


def send(browser: Browser, path: str, fields: dict[str, str]) -> int:
    """POST as a page of the site would; the status of the answer."""
    status: int = browser.driver.execute_async_script(SEND, path, fields)
    return status


@override_settings(LANGUAGE_CODE="ar")
def test_time_runs_beside_its_labels_from_right_to_left(browser: Browser, store: Store):
    (job_id,) = store.add("low")
    browser.open(QUEUES)
    assert browser.find("html").get_attribute("dir") == "rtl"

    for chart in (".rj-chart", ".rj-timing"):
        bars, ticks = (
            [each.rect["x"] for each in browser.all(f"{chart}:first-of-type {part}")]
            for part in (".rj-bar-place", ".rj-ticks span")
        )
        assert bars == sorted(bars)
        assert ticks == sorted(ticks)
    # A job's steps run as its language does, each with its dot where it begins.
    browser.open(f"{JOBS}{job_id}/change/")
    first, second = (each.rect["x"] for each in browser.all(".rj-step"))
    assert first > second
    assert browser.run(DOT) == "0px"


DOT = """
const step = document.querySelector(".rj-step");
return getComputedStyle(step, "::before").right;
"""


def evil_job(store: Store) -> str:
    """A job whose every text is HTML, which failed."""
    body = json.dumps([f"shop.{EVIL}", [EVIL], {EVIL: EVIL}])
    # In a queue of its own, which no real worker serves.
    (job_id,) = store.add("elsewhere", body=body)
    consumer = store.worker("elsewhere")
    (claimed,) = consumer.claim()
    attempt = AttemptRecord(1, 1, "w", 1, 2, "failed", f"shop.{EVIL}", EVIL, EVIL)
    consumer.settle(claimed, kind="failed", error=EVIL, attempt=attempt.to_json())
    return job_id


def test_html_in_an_exception_is_text(browser: Browser, store: Store):
    job_id = evil_job(store)

    for path in (f"{JOBS}{job_id}/change/", JOBS, QUEUES):
        browser.open(path)
        assert "<img src=x onerror=alert(1)>" in browser.text()
        assert browser.all("img[src=x]") == []
        assert "broken in" not in browser.driver.title


def test_no_page_breaks_the_strictest_policy(
    browser: Browser, store: Store, worker: None
):
    handle = add.delay(1, 2)
    handle.wait(timeout=60)
    store.add("low", 3, delay_ms=60_000)

    for path in (
        *("/admin/", QUEUES, f"{QUEUES}?period=7d", f"{QUEUES}low/pause/"),
        *(JOBS, f"{JOBS}?_facets=True&status__exact=succeeded", WORKERS),
        f"{JOBS}{handle.id}/change/",
    ):
        browser.open(path)
        assert browser.complaints() == [], path
