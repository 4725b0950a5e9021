"""On an admin site of the project's own every link stays on that site."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client, override_settings
from django.urls import path

from django_redisjobs.admin.jobs import JobAdmin
from django_redisjobs.admin.queues import QueueAdmin
from django_redisjobs.admin.workers import WorkerAdmin
from django_redisjobs.core.records import AttemptRecord
from django_redisjobs.models import Job, Queue, Worker
from tests.integration.core.store import Store, attempt
from tests.urls import urlpatterns as of_tests

site = AdminSite(name="ops")
site.register(Job, JobAdmin)
site.register(Queue, QueueAdmin)
site.register(Worker, WorkerAdmin)
site.register(User, UserAdmin)
site.register(Session)
queues_alone = AdminSite(name="queues")
queues_alone.register(Queue, QueueAdmin)
urlpatterns = [
    *of_tests,
    path("ops/", site.urls),
    path("queues/", queues_alone.urls),
]

LINK = re.compile(r'(?:href|action)="(/[^"]*)"')


@pytest.fixture
def root(db: None) -> Client:
    browser = Client()
    browser.force_login(User.objects.create_superuser("root"))
    return browser


@override_settings(ROOT_URLCONF=__name__)
def test_every_link_stays_on_the_site(store: Store, root: Client):
    user = {"$": "model", "v": "auth.user:1@default"}
    options = {"on_failure": ["shop.unpaid", "low"]}
    body = json.dumps(["shop.pay", [user], {}, options])
    (failed,) = store.add("low", body=body, callbacks=2)
    worker = store.worker("low", name="w-1")
    (job,) = worker.claim()
    attempt = AttemptRecord(1, 1, "w-1", 1, 2, "failed", "E", "no", "")
    worker.settle(job, kind="failed", attempt=attempt.to_json())
    (running,) = store.add("low")
    worker.claim()
    (waiting,) = store.add("high")
    jobs, queues, workers = (
        f"/ops/redisjobs/{model}/" for model in ("job", "queue", "worker")
    )

    pages = [
        *(root.get(each) for each in (jobs, queues, workers)),
        *(
            root.get(f"{jobs}{pk}/change/")
            for pk in (failed, f"{failed}-f1", running, waiting)
        ),
        *(root.get(f"{queues}low/{page}/") for page in ("pause", "purge")),
        root.get(f"{workers}w-1/change/"),
        root.post(f"{jobs}{waiting}/act/", {"action": "cancel"}),
        root.post(f"{jobs}{waiting}/act/", {"action": "move"}),
        root.post(jobs, {"action": "remove", "_selected_action": [failed]}),
        root.post(f"{workers}w-1/control/", {"message": "stop"}),
        root.post(f"{queues}retry-group/?function=shop.pay&reason=E"),
    ]

    for page in pages:
        assert page.status_code == 200, page.request["PATH_INFO"]
        found = LINK.findall(page.content.decode())
        assert found
        strange = {link for link in found if not link.startswith(("/ops/", "/static/"))}
        assert strange <= {"/"}, (page.request["PATH_INFO"], strange)
    answer = root.post(f"{jobs}{failed}/act/", {"action": "retry"})
    assert answer.url == f"{jobs}{failed}/change/"
    assert root.post(f"{workers}w-1/control/", {"message": "dump"}).url.startswith(
        workers
    )


@override_settings(ROOT_URLCONF=__name__)
def test_a_row_is_found_whatever_its_key_is_made_of(store: Store, root: Client):
    Session.objects.create(pk="plan_2500", expire_date=datetime(2030, 1, 1, tzinfo=UTC))
    plan = {"$": "model", "v": "sessions.session:plan_2500@default"}
    (job_id,) = store.add("low", body=json.dumps(["shop.renew", [plan], {}]))

    page = root.get(f"/ops/redisjobs/job/{job_id}/change/").content.decode()

    (link,) = (link for link in LINK.findall(page) if "/plan" in link)
    answer = root.get(link)
    assert answer.status_code == 200
    assert answer.context["original"].pk == "plan_2500"


@override_settings(ROOT_URLCONF=__name__)
def test_a_site_may_have_the_queues_alone(store: Store, root: Client):
    store.add("low", 2, body='["shop.pay",[],{}]')
    worker = store.worker("low")
    job, _ = worker.claim(2)
    worker.settle(job, kind="failed", attempt=attempt(job))
    queues = "/queues/redisjobs/queue/"

    pages = [
        root.get(queues),
        *(root.get(f"{queues}low/{page}/") for page in ("pause", "purge", "change")),
        root.post(f"{queues}retry-group/?function=shop.pay&reason=ValueError"),
    ]

    for page in pages:
        assert page.status_code == 200, page.request["PATH_INFO"]
        text = page.content.decode()
        assert 'href=""' not in text
        assert not re.search("redisjobs/(job|worker)/", text)
    overview = pages[0].content.decode()
    assert "shop.pay" in overview
    assert "ValueError" in overview
