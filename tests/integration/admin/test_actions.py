"""What the admin does to jobs: for whom, after which question, and what it says."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import WARNING, get_messages
from django.test import Client, override_settings

from django_redisjobs import JobStatus
from django_redisjobs.admin import actions
from django_redisjobs.core import lookup
from django_redisjobs.exceptions import ServerUnavailable
from tests.integration.core.store import Store

from .conftest import Staff

JOBS = "/admin/redisjobs/job/"


@pytest.fixture
def operator(staff: Staff) -> Client:
    """A browser of somebody who may do everything to jobs."""
    return staff(
        *("view_job", "retry_job", "run_job", "cancel_job", "delete_job", "move_job")
    )


@pytest.fixture
def failed(store: Store) -> list[str]:
    ids = store.add("low", 3)
    worker = store.worker("low")
    worker.settle(*worker.claim(3), kind="failed", error="ValueError: no")
    return ids


def post(browser: Client, action: str, *ids: str, path: str = JOBS, **more: str) -> Any:
    return browser.post(path, {"action": action, "_selected_action": ids, **more})


def said(answer: Any) -> str:
    assert answer.status_code == 302, answer
    return " ".join(map(str, get_messages(answer.wsgi_request)))


def test_those_who_may_only_look_see_no_action_and_are_refused(
    store: Store, browser: Client, failed: list[str]
):
    assert 'name="action"' not in browser.get(JOBS).content.decode()
    for name in actions.ACTIONS:
        assert post(browser, name, *failed, confirmed="1").status_code == 403
        assert post(browser, name, *failed, index="0").status_code == 403
    assert {store.status(job_id) for job_id in failed} == {JobStatus.FAILED}


def test_each_action_has_its_own_permission(
    store: Store, staff: Staff, failed: list[str]
):
    browser = staff("view_job", "retry_job")

    assert 'value="retry"' in browser.get(JOBS).content.decode()
    assert 'value="cancel"' not in browser.get(JOBS).content.decode()
    assert post(browser, "cancel", *failed, confirmed="1").status_code == 403
    assert "3 retried" in said(post(browser, "retry", *failed))


def test_retry_says_what_it_did_and_is_logged(
    store: Store, operator: Client, failed: list[str]
):
    (waiting,) = store.add("high")

    answer = post(operator, "retry", *failed, waiting)

    assert said(answer) == "3 retried, 1 waiting or running already."
    assert {store.status(job_id) for job_id in failed} == {JobStatus.PENDING}
    assert set(LogEntry.objects.values_list("object_id", flat=True)) == set(failed)
    assert LogEntry.objects.first().user.username == "ada"


def test_what_succeeded_is_not_repeated_by_a_click_on_many(
    store: Store, operator: Client
):
    (job_id,) = store.add("low")
    worker = store.worker("low")
    worker.settle(*worker.claim())

    assert "nothing to do" in said(post(operator, "retry", job_id))
    assert store.status(job_id) is JobStatus.SUCCEEDED


def test_scheduled_jobs_are_run_now(store: Store, operator: Client):
    (job_id,) = store.add("low", delay_ms=60_000)

    assert said(post(operator, "run", job_id)) == "1 made ready."
    assert store.status(job_id) is JobStatus.PENDING


@pytest.mark.parametrize(
    ("action", "text"), [("cancel", "1 cancelled."), ("remove", "1 deleted.")]
)
def test_what_destroys_asks_first(
    store: Store, operator: Client, action: str, text: str
):
    (job_id,) = store.add("low")

    question = post(operator, action, job_id)

    assert question.status_code == 200
    assert "(1 pending)" in question.content.decode()
    assert store.status(job_id) is JobStatus.PENDING
    assert said(post(operator, action, job_id, confirmed="1")) == text
    assert LogEntry.objects.get().object_id == job_id


def test_what_was_run_again_since_the_question_is_not_deleted(
    store: Store, operator: Client, failed: list[str]
):
    question = post(operator, "remove", *failed).content.decode()
    store.retry(failed[0])

    answer = post(operator, "remove", *failed, confirmed="1", shown="failed")

    assert '<input type="hidden" name="shown" value="failed">' in question
    assert said(answer) == "2 deleted, 1 changed meanwhile: they stay."
    assert store.status(failed[0]) is JobStatus.PENDING
    # A question that tells of waiting jobs is about them.
    answer = post(operator, "remove", failed[0], confirmed="1", shown="pending")
    assert said(answer).endswith(" 1 deleted.")


def test_many_are_changed_a_page_at_a_time(
    store: Store, operator: Client, monkeypatch: pytest.MonkeyPatch
):
    many = store.add("low", 130)
    asked: list[int] = []
    reading = lookup.jobs

    def counted(keys: Any, ids: Any, **more: Any) -> Any:
        asked.append(len(ids))
        return reading(keys, ids, **more)

    monkeypatch.setattr(actions, "PAGE", 50)
    monkeypatch.setattr("django_redisjobs.queries.PAGE", 50)
    monkeypatch.setattr(lookup, "jobs", counted)

    said_so = said(post(operator, "cancel", *many, select_across="1", confirmed="1"))

    assert said_so == "130 cancelled."
    assert sum(asked) >= 260
    assert max(asked) <= 50


def test_running_jobs_are_asked_to_stop_and_not_deleted(store: Store, operator: Client):
    (job_id,) = store.add("low")
    store.worker("low").claim()

    text = said(post(operator, "remove", job_id, confirmed="1"))
    assert text == "1 running: cancel them first."
    text = said(post(operator, "cancel", job_id, confirmed="1"))
    assert "1 running and asked to stop." in text


def test_all_that_match_are_more_than_a_page(
    store: Store, operator: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("django_redisjobs.queries.PAGE", 50)
    many, other = store.add("low", 130), store.add("high", 2)
    path = f"{JOBS}?queue=low&status__exact=pending"

    asked = post(operator, "cancel", many[0], path=path, select_across="1")
    assert "130 jobs" in asked.content.decode()
    answer = post(
        operator, "cancel", many[0], path=path, select_across="1", confirmed="1"
    )

    assert said(answer) == "130 cancelled."
    assert {store.status(job_id) for job_id in other} == {JobStatus.PENDING}
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.change_message) == (None, "130 cancelled")


def test_all_that_match_a_search(store: Store, operator: Client):
    store.add("low", 2, body='["shop.jobs.send",[],{}]')
    (charge,) = store.add("low", body='["shop.jobs.charge",[],{}]')

    answer = post(
        operator,
        "cancel",
        charge,
        path=f"{JOBS}?q=charge",
        select_across="1",
        confirmed="1",
    )

    assert said(answer) == "1 cancelled."
    assert store.status(charge) is JobStatus.CANCELLED


def test_all_of_a_queue_that_is_nowhere_are_none(store: Store, operator: Client):
    (job_id,) = store.add("low")

    answer = post(
        operator,
        "retry",
        job_id,
        path=f"{JOBS}?queue=nowhere",
        select_across="1",
        confirmed="1",
    )

    assert said(answer) == "There was nothing to do."


def test_one_click_is_bounded(
    store: Store, operator: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(actions, "MOST", 5)
    ids = store.add("low", 8)

    asked = post(operator, "remove", ids[0], select_across="1")
    answer = post(operator, "remove", ids[0], select_across="1", confirmed="1")

    assert "5 jobs at most" in asked.content.decode()
    assert said(answer) == "5 deleted."


@pytest.mark.parametrize(("looked_through", "is_cut"), [(4, True), (5, False)])
def test_a_click_tells_that_it_did_not_look_at_all(
    store: Store,
    operator: Client,
    monkeypatch: pytest.MonkeyPatch,
    looked_through: int,
    is_cut: bool,
):
    monkeypatch.setattr(actions, "LOOKED_THROUGH", looked_through)
    (first,) = store.add("low", body='["shop.jobs.charge",[],{}]')
    store.add("low", 3, body='["shop.jobs.send",[],{}]')
    store.add("low", body='["shop.jobs.charge",[],{}]')
    path, words = f"{JOBS}?q=charge", "Only 4 jobs were looked through"

    asked = post(operator, "cancel", first, path=path, select_across="1")
    answer = post(
        operator, "cancel", first, path=path, select_across="1", confirmed="1"
    )

    assert (words in asked.content.decode()) is is_cut
    assert said(answer).startswith("1 cancelled." if is_cut else "2 cancelled.")
    told = [one.level for one in get_messages(answer.wsgi_request) if words in str(one)]
    assert told == ([WARNING] if is_cut else [])
    assert (store.status(first) is JobStatus.PENDING) is is_cut


def test_redis_away_during_an_action_is_a_page(
    redisjobs: dict[str, Any], operator: Client
):
    with override_settings(REDISJOBS={**redisjobs, "URL": "redis://127.0.0.1:1/0"}):
        answer = post(operator, "retry", "f" * 28)

    assert answer.status_code == 503


def test_what_was_done_before_redis_went_away_is_told(
    store: Store, operator: Client, monkeypatch: pytest.MonkeyPatch
):
    many = store.add("low", 130)
    reading = lookup.jobs

    def failing(keys: Any, ids: Any, **more: Any) -> Any:
        if len(ids) == 30:
            raise ServerUnavailable("gone")
        return reading(keys, ids, **more)

    monkeypatch.setattr(actions, "PAGE", 50)
    monkeypatch.setattr(lookup, "jobs", failing)

    answer = post(operator, "cancel", *many, confirmed="1")

    assert answer.status_code == 503
    assert "100 cancelled." in answer.content.decode()
    assert "do it again for the rest" in answer.content.decode()
    assert LogEntry.objects.count() == 100
    cancelled = [each for each in many if store.status(each) is JobStatus.CANCELLED]
    assert len(cancelled) == 100


def test_jobs_are_moved_to_the_queue_that_is_chosen(store: Store, operator: Client):
    ids = store.add("low", 2)
    (running,) = store.add("high")
    store.worker("high").claim()

    asked = post(operator, "move", *ids, running)
    wrong = post(operator, "move", *ids, confirmed="1", queue="nowhere")
    answer = post(operator, "move", *ids, running, confirmed="1", queue="default")

    for question in (asked, wrong):
        assert question.status_code == 200
        assert '<option value="default">' in question.content.decode()
    assert "errorlist" in wrong.content.decode()
    assert said(answer) == "2 moved, 1 running."
    assert {store.record(job_id).queue for job_id in ids} == {"default"}
    assert set(LogEntry.objects.values_list("change_message", flat=True)) == {
        "Move to default"
    }


def test_jobs_stay_in_their_group_of_queues(
    redisjobs: dict[str, Any], store: Store, operator: Client
):
    (job_id,) = store.add("low")
    queues = {"high": {}, "default": {}, "low": {}, "away": {"GROUP": "other"}}

    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        answer = post(operator, "move", job_id, confirmed="1", queue="away")

    assert said(answer) == "1 of another group of queues: they stay."
    assert store.record(job_id).queue == "low"


def page_of(job_id: str) -> str:
    return f"{JOBS}{job_id}/change/"


def click(browser: Client, action: str, job_id: str, **more: str) -> Any:
    return browser.post(f"{JOBS}{job_id}/act/", {"action": action, **more})


def offered(browser: Client, job_id: str) -> set[str]:
    buttons = browser.get(page_of(job_id)).context["buttons"]
    return {button.name for button in buttons}


def test_a_job_s_page_offers_what_can_be_done_to_it_now(
    store: Store, operator: Client, failed: list[str]
):
    (pending,) = store.add("default")
    (scheduled,) = store.add("default", delay_ms=60_000)
    (running,) = store.add("high")
    store.worker("high").claim()

    assert offered(operator, failed[0]) == {"retry", "remove"}
    assert offered(operator, pending) == {"move", "cancel", "remove"}
    assert offered(operator, scheduled) == {"run", "move", "cancel", "remove"}
    assert offered(operator, running) == {"cancel"}


def test_a_click_on_a_job_s_page_is_done_and_said_and_logged(
    store: Store, operator: Client, failed: list[str]
):
    answer = click(operator, "retry", failed[0])

    assert answer.url == page_of(failed[0])
    assert said(answer) == "1 retried."
    assert store.status(failed[0]) is JobStatus.PENDING
    assert LogEntry.objects.get().object_id == failed[0]


@pytest.mark.parametrize(
    ("action", "words", "leads_to"),
    [("cancel", "1 cancelled.", "page"), ("remove", "1 deleted.", "list")],
)
def test_what_destroys_one_job_asks_first(
    store: Store, operator: Client, action: str, words: str, leads_to: str
):
    (job_id,) = store.add("low")

    question = click(operator, action, job_id)
    assert question.status_code == 200
    assert job_id in question.content.decode()
    assert store.status(job_id) is JobStatus.PENDING

    answer = click(operator, action, job_id, confirmed="1")
    assert answer.url == (JOBS if leads_to == "list" else page_of(job_id))
    assert said(answer) == words


def test_a_button_reads_its_job_once(store: Store, operator: Client, trips: list[int]):
    (job_id,) = store.add("low")
    trips.clear()

    click(operator, "cancel", job_id)

    # The second one asks whether it is scheduled.
    assert len(trips) == 2


def test_one_job_that_succeeded_is_repeated_after_a_question(
    store: Store, operator: Client
):
    (job_id,) = store.add("low")
    worker = store.worker("low")
    worker.settle(*worker.claim())

    assert click(operator, "retry", job_id).status_code == 200
    assert said(click(operator, "retry", job_id, confirmed="1")) == "1 retried."
    assert store.status(job_id) is JobStatus.PENDING


def test_who_may_only_look_sees_no_button_and_is_refused(
    store: Store, browser: Client, failed: list[str]
):
    text = browser.get(page_of(failed[0])).content.decode()

    assert "rj-do-" not in text
    for name in actions.ACTIONS:
        assert click(browser, name, failed[0], confirmed="1").status_code == 403
    assert store.status(failed[0]) is JobStatus.FAILED


def test_buttons_that_nobody_made(store: Store, operator: Client):
    assert click(operator, "explode", "f" * 28).status_code == 404
    assert operator.get(f"{JOBS}{'f' * 28}/act/").status_code == 405


def test_a_click_on_a_job_that_is_gone_leads_to_where_that_is_said(
    store: Store, operator: Client
):
    answer = operator.post(f"{JOBS}{'f' * 28}/act/", {"action": "retry"}, follow=True)

    assert "Perhaps it was deleted?" in " ".join(map(str, answer.context["messages"]))
