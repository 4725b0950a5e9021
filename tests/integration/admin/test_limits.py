"""A project's subclasses show somebody some rows: to others they can do nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client, override_settings
from django.urls import path

from django_redisjobs import JobStatus, get_queue
from django_redisjobs.admin.jobs import JobAdmin
from django_redisjobs.admin.queues import QueueAdmin
from django_redisjobs.admin.workers import WorkerAdmin
from django_redisjobs.models import Job, Queue, Worker
from tests.integration.core.store import Store, attempt
from tests.urls import urlpatterns as of_tests


class HighJobs(JobAdmin):
    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).filter(queue="high")

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        secret = obj is not None and obj.function == "shop.secret"
        return not secret and super().has_view_permission(request, obj)

    def has_move_permission(self, request: Any) -> bool:
        return False


class PickedJobs(JobAdmin):
    picked: list[str] = []

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).filter(pk__in=self.picked)


class NoJobs(JobAdmin):
    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).none()


class HighQueue(QueueAdmin):
    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).filter(name="high")


class OwnWorkers(WorkerAdmin):
    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).filter(host="own")


site = AdminSite(name="limited")
site.register(Job, HighJobs)
site.register(Queue, HighQueue)
site.register(Worker, OwnWorkers)
picking, none = AdminSite(name="picking"), AdminSite(name="none")
picking.register(Job, PickedJobs)
none.register(Job, NoJobs)
urlpatterns = [
    *of_tests,
    *(path(f"{each.name}/", each.urls) for each in (site, picking, none)),
]

JOBS, QUEUES, WORKERS = (
    f"/limited/redisjobs/{model}/" for model in ("job", "queue", "worker")
)


@pytest.fixture
def root(db: None) -> Any:
    browser = Client()
    browser.force_login(User.objects.create_superuser("root"))
    with override_settings(ROOT_URLCONF=__name__):
        yield browser


def said(answer: Any) -> str:
    return " ".join(map(str, get_messages(answer.wsgi_request)))


@pytest.mark.parametrize("across", ["0", "1"])
def test_actions_leave_alone_what_the_list_does_not_show(
    store: Store, root: Client, across: str
):
    (shown,), (hidden,) = store.add("high"), store.add("low")
    fields = {
        "action": "cancel",
        "_selected_action": [shown, hidden],
        "select_across": across,
    }

    question = root.post(JOBS, fields)
    answer = root.post(JOBS, {**fields, "confirmed": "1"})

    assert question.context["total"] == 1
    assert said(answer) == "1 cancelled."
    assert store.status(shown) is JobStatus.CANCELLED
    assert store.status(hidden) is JobStatus.PENDING


def test_what_was_ticked_is_told_of_though_a_filter_lost_it(store: Store, root: Client):
    (job_id,) = store.add("high")

    fields = {"action": "retry", "_selected_action": job_id}
    answer = root.post(f"{JOBS}?status__exact=failed", fields)

    assert said(answer) == "1 waiting or running already."


def test_buttons_do_nothing_to_a_job_that_is_hidden(store: Store, root: Client):
    (hidden,) = store.add("low")
    (secret,) = store.add("high", body='["shop.secret",[],{}]')
    fields = {"action": "remove", "confirmed": "1"}

    answer = root.post(f"{JOBS}{hidden}/act/", fields)

    assert answer.url == f"{JOBS}{hidden}/change/"
    assert root.get(answer.url).url == "/limited/"
    assert root.post(f"{JOBS}{secret}/act/", fields).status_code == 403
    assert store.status(hidden) is store.status(secret) is JobStatus.PENDING


def test_what_a_subclass_forbids_has_no_button(store: Store, root: Client):
    (job_id,) = store.add("high")

    offered = root.get(f"{JOBS}{job_id}/change/").context["buttons"]
    answer = root.post(f"{JOBS}{job_id}/act/", {"action": "move"})

    assert {button.name for button in offered} == {"cancel", "remove"}
    assert answer.status_code == 403


def test_failures_that_are_hidden_are_neither_told_nor_run_again(
    store: Store, root: Client, trips: list[int]
):
    (shown,), (hidden,) = store.add("high"), store.add("low")
    for queue in ("high", "low"):
        worker = store.worker(queue)
        (job,) = worker.claim()
        worker.settle(job, kind="failed", attempt=attempt(job))
    address = f"{QUEUES}retry-group/?function=shop.jobs.send&reason=ValueError"

    page = root.get(QUEUES).context["page"]
    (group,) = page.groups
    # No more than a list reads: the time, and how the records begin and end.
    assert trips[-1] == 2
    answer = root.post(address, {"confirmed": "1"})

    assert (group.number, group.queues) == (1, "high")
    # Numbers are of all.
    assert (page.looked_at, page.failures_total) == ("2", "2")
    assert said(answer) == "1 retried."
    assert store.status(shown) is JobStatus.PENDING
    assert store.status(hidden) is JobStatus.FAILED


def test_a_job_does_not_lead_to_its_hidden_callback(store: Store, root: Client):
    body = json.dumps(["shop.pay", [], {}, {"on_failure": ["shop.unpaid", "low"]}])
    (job_id,) = store.add("high", body=body, callbacks=2)
    worker = store.worker("high")
    worker.settle(*worker.claim(), kind="failed")
    assert store.status(f"{job_id}-f1") is JobStatus.PENDING

    page = root.get(f"{JOBS}{job_id}/change/").content.decode()

    assert f"{job_id}-f1" not in page


def test_a_hidden_queue_has_no_card_and_cannot_be_paused_or_purged(
    store: Store, root: Client
):
    (waiting,) = store.add("low")

    cards = [row.name for row in root.get(QUEUES).context["page"].queues]

    assert cards == ["high"]
    for page, fields in (("pause", {"pause": "1"}), ("purge", {"confirmed": "1"})):
        assert root.post(f"{QUEUES}low/{page}/", fields).status_code == 404
    assert store.status(waiting) is JobStatus.PENDING
    assert get_queue("low").counts().paused is None


def test_the_overview_tells_how_many_jobs_are_parked_anywhere(
    store: Store, root: Client
):
    store.add("low", 2)
    worker = store.worker("low")
    worker.settle(*worker.claim(2), kind="parked")

    (notice,) = root.get(QUEUES).context["page"].notices()

    assert notice.text.startswith("2 jobs are parked")


def test_a_hidden_queue_is_not_offered_and_nothing_is_moved_there(
    store: Store, root: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(HighJobs, "has_move_permission", lambda *_: True)
    (job_id,) = store.add("high")
    fields = {"action": "move", "confirmed": "1", "queue": "low"}

    assert "?queue=low" not in root.get(JOBS).content.decode()
    answer = root.post(f"{JOBS}{job_id}/act/", fields)

    assert answer.context["form"].fields["queue"].choices == [("high", "high")]
    assert store.record(job_id).queue == "high"


def test_a_hidden_worker_is_neither_shown_nor_asked(store: Store, root: Client):
    store.worker("high", name="own-1", host="own")
    store.worker("high", name="other-1", host="other")
    lost = store.worker("high", name="lost-1", host="other")
    store.rescue(lost, reason="killed")

    for page in (WORKERS, QUEUES):
        text = root.get(page).content.decode()
        assert "own-1" in text
        assert "other-1" not in text
        assert "killed" not in text
    for message in ("dump", "quiet"):
        fields = {"message": message, "confirmed": "1"}
        answer = root.post(f"{WORKERS}other-1/control/", fields)
        assert "not there any more" in said(answer)
    assert store.client.llen(store.keys.control("other-1")) == 0


def test_a_page_asks_once_what_somebody_may_see(
    store: Store, root: Client, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def counted(self: WorkerAdmin, request: Any) -> Any:
        asked.append(request)
        return WorkerAdmin.get_queryset(self, request).filter(host="own")

    monkeypatch.setattr(OwnWorkers, "get_queryset", counted)

    root.get(QUEUES)

    assert len(asked) == 1


def test_a_worker_is_shown_without_the_jobs_that_are_hidden(store: Store, root: Client):
    (shown,), (hidden,) = store.add("high"), store.add("low")
    store.worker("high", "low", name="own-1", host="own").claim(2)

    for page in (WORKERS, f"{WORKERS}own-1/change/"):
        text = root.get(page).content.decode()
        assert shown in text
        assert hidden not in text


@pytest.mark.parametrize(
    "query", ["", "?_facets=True", "?q=send", "?o=1", "?status__exact=pending"]
)
def test_a_list_may_be_of_chosen_jobs_or_of_none(
    store: Store, root: Client, query: str, monkeypatch: pytest.MonkeyPatch
):
    ids = store.add("high", 3)
    monkeypatch.setattr(PickedJobs, "picked", ids[:2])

    some = root.get(f"/picking/redisjobs/job/{query}").context["cl"].result_list
    nothing = root.get(f"/none/redisjobs/job/{query}").context["cl"].result_list

    assert {row.pk for row in some} == set(ids[:2])
    assert list(nothing) == []


@pytest.mark.parametrize("query", ["?status__exact=failed", "?q=no+such", "?queue=low"])
def test_all_that_match_are_chosen_jobs_that_match(
    store: Store, root: Client, query: str, monkeypatch: pytest.MonkeyPatch
):
    ids = store.add("high", 3)
    (other,) = store.add("low")
    worker = store.worker("low")
    worker.settle(*worker.claim(), kind="failed")
    monkeypatch.setattr(PickedJobs, "picked", [*ids, other])
    fields = {"action": "remove", "_selected_action": ids, "select_across": "1"}
    path = f"/picking/redisjobs/job/{query}"

    listed = list(root.get(path).context["cl"].result_list)
    question = root.post(path, fields)
    root.post(path, {**fields, "confirmed": "1"})

    assert question.context["total"] == len(listed)
    assert {store.status(job_id) for job_id in ids} == {JobStatus.PENDING}
    assert store.status(other) is (None if listed else JobStatus.FAILED)
