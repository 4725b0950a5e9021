"""Stats for programs: who gets them, what is in them, and what is told when Redis is away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings
from django.urls import include, path

from django_redisjobs import conf
from django_redisjobs.core.records import QueueCounts
from django_redisjobs.monitoring import metrics
from django_redisjobs.monitoring.reading import Day, QueueView, Snapshot
from tests.integration.core.store import Store
from tests.urls import urlpatterns as of_tests

urlpatterns = [*of_tests, path("jobs/", include("django_redisjobs.urls"))]
TOKEN = "correct-horse-battery"
PATHS = ["/jobs/stats.json", "/jobs/metrics"]
IN_ADMIN = ["/admin/redisjobs/queue/stats.json", "/admin/redisjobs/queue/metrics"]
LABELS = r'((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)+)'
SAMPLE = re.compile(r"(\w+)(?:\{" + LABELS + r"\})? (-?\d+(?:\.\d+)?)")


@pytest.fixture(autouse=True)
def site(redisjobs: dict[str, Any], db: None) -> Iterator[dict[str, Any]]:
    settings = {**redisjobs, "STATS_TOKEN": TOKEN}
    with override_settings(ROOT_URLCONF=__name__, REDISJOBS=settings):
        yield settings


@pytest.fixture
def store(client: Any) -> Store:
    return Store(client, conf.keys_for("default"))


def ask(address: str, token: str | None = TOKEN, browser: Client | None = None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return (browser or Client()).get(address, headers=headers)


def signed_in(*permissions: str) -> Client:
    user = User.objects.create_user("ada")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(user)
    return browser


def samples(text: str) -> dict[str, float]:
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.match(r"# (HELP|TYPE) redisjobs_\w+ \S", line), line
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name = f"{match[1].removeprefix('redisjobs_')} {match[2] or ''}".strip()
        assert name not in found, "a series comes once"
        found[name] = float(match[3])
    return found


@pytest.mark.parametrize("address", [*PATHS, *IN_ADMIN])
def test_who_may_read_them(address: str):
    assert ask(address).status_code == 200
    for token in (None, "", "wrong", TOKEN[:-1], f"{TOKEN}x", "é"):
        refused = ask(address, token)
        assert refused.status_code == 401
        assert refused["WWW-Authenticate"].startswith("Bearer")
    assert ask(address, None, signed_in("view_queue")).status_code == 200
    User.objects.all().delete()
    assert ask(address, None, signed_in("view_job")).status_code == 403


@pytest.mark.parametrize("address", PATHS)
def test_the_token_is_enough_where_all_pages_want_a_login(address: str, settings: Any):
    middleware = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, middleware]

    assert ask(address).status_code == 200
    assert ask(address, None).status_code == 401


@pytest.mark.parametrize("address", PATHS)
def test_without_the_setting_no_token_opens_them(site: dict[str, Any], address: str):
    with override_settings(REDISJOBS={**site, "STATS_TOKEN": None}):
        for token in ("", "None", TOKEN):
            assert ask(address, token).status_code == 401


@pytest.mark.parametrize("address", PATHS)
def test_they_are_for_reading_and_never_kept(address: str):
    headers = {"Authorization": f"bearer {TOKEN}"}

    assert Client().post(address, headers=headers).status_code == 405
    answer = Client().head(address, headers=headers)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]


def test_json(store: Store):
    store.add("low", 3)
    store.worker("low").claim()

    found = ask("/jobs/stats.json").json()

    low = next(each for each in found["queues"] if each["queue"] == "low")
    assert (low["pending"], low["running"]) == (2, 1)
    assert low["last_hour"] == {"runs": 0, "wait_seconds": None, "run_seconds": None}
    assert found["workers"] == {"alive": 1, "dead": 0}


def test_json_has_percentiles_of_the_last_hour(store: Store):
    store.add("low", 100)
    worker = store.worker("low")
    for number, one in enumerate(worker.claim(100)):
        started_ms = one.enqueued_ms + 3
        ran_ms = 1 if number < 90 else 2 if number < 97 else 60_000
        worker.settle(one, started_ms=started_ms, finished_ms=started_ms + ran_ms)

    found = ask("/jobs/stats.json").json()["queues"][-1]["last_hour"]

    assert found["runs"] == 100
    assert found["wait_seconds"] == {"p50": 0.003, "p95": 0.003, "p99": 0.003}
    long = found["run_seconds"].pop("p99")
    assert found["run_seconds"] == {"p50": 0.001, "p95": 0.002}
    assert 60 * 0.7 < long < 60 * 1.42


def test_metrics(store: Store):
    store.add("low", 4)
    store.add("high", delay_ms=60_000)
    store.pause("high")
    worker = store.worker("low")
    first, second, _ = worker.claim(3)
    now = store.now_ms()
    worker.settle(first, started_ms=now - 1500, finished_ms=now)
    worker.settle(second, kind="failed", started_ms=now - 500, finished_ms=now)
    store.rescue(store.worker("high"))
    store.pause("low", until_ms=1)

    answer = ask("/jobs/metrics")

    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.content.decode())
    for name, value in {
        'jobs queue="low",status="pending"': 1,
        'jobs queue="low",status="running"': 1,
        'jobs queue="high",status="scheduled"': 1,
        'queue_paused queue="high"': 1,
        'queue_paused queue="low"': 0,
        'workers state="alive"': 1,
        "workers_lost": 1,
        'outcomes_total queue="low",outcome="succeeded"': 1,
        'outcomes_total queue="low",outcome="failed"': 1,
        'outcomes_total queue="high",outcome="failed"': 0,
        'runs_total queue="low"': 2,
        'run_seconds_sum queue="low"': 2,
        'run_seconds_count queue="low"': 2,
        'run_seconds_bucket queue="low",le="0.256"': 0,
        'run_seconds_bucket queue="low",le="0.512"': 1,
        'run_seconds_bucket queue="low",le="1.024"': 1,
        'run_seconds_bucket queue="low",le="2.048"': 2,
        'run_seconds_bucket queue="low",le="+Inf"': 2,
        'run_seconds_count queue="high"': 0,
        'wait_seconds_count queue="low"': 2,
        'wait_seconds_bucket queue="low",le="4194.304"': 2,
    }.items():
        assert found[name] == value, name
    for queue in ("high", "low"):
        buckets = [
            found[f'wait_seconds_bucket queue="{queue}",le="{limit / 1000}"']
            for limit in metrics.LIMITS_MS
        ]
        assert buckets == sorted(buckets)
    assert found['oldest_wait_seconds queue="low"'] >= 0


def test_a_queue_that_has_moved_is_told_of_once(site: dict[str, Any], store: Store):
    store.add("low", 2)
    queues = {"QUEUES": {"high": {}, "low": {"GROUP": "bulk"}, "default": {}}}

    with override_settings(REDISJOBS={**site, **queues}):
        Store(store.client, conf.keys_for("low")).add("low")
        found = samples(ask("/jobs/metrics").content.decode())
        document = ask("/jobs/stats.json").json()

    assert found['jobs queue="low",status="pending"'] == 3
    told = [(each["queue"], each["pending"]) for each in document["queues"]]
    assert told == [("high", 0), ("low", 3), ("default", 0)]


def test_names_cannot_break_the_format():
    name = 'a"b\\c\nd'
    views = (QueueView(QueueCounts(name), 0.5, 0.0),)

    text = metrics.text(Day(Snapshot(views, (), 0), {}))

    assert samples(text)[r'oldest_wait_seconds queue="a\"b\\c\nd"'] == 0.5


@pytest.mark.parametrize("address", PATHS)
def test_redis_away_is_no_success(site: dict[str, Any], address: str):
    away = {**site, "URL": "redis://:secret@127.0.0.1:1/0"}
    with override_settings(REDISJOBS=away):
        answer = ask(address)

    assert answer.status_code == 503
    assert "127.0.0.1:1" in answer.content.decode()
    assert "secret" not in answer.content.decode()


@pytest.mark.parametrize("address", PATHS)
def test_a_project_without_users(address: str):
    with override_settings(MIDDLEWARE=[]):
        assert ask(address, None).status_code == 401
        assert ask(address).status_code == 200
