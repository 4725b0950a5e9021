"""The pages in a test client: what they show, to whom, and when Redis is away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_redisjobs import conf, get_queue
from django_redisjobs.admin import jobsource
from django_redisjobs.admin.jobs import JobAdmin
from django_redisjobs.core.records import AttemptRecord
from django_redisjobs.models import Job
from tests.integration.core.store import Store, settlement

from .conftest import Staff

JOBS = "/admin/redisjobs/job/"
PAGES = [JOBS, "/admin/redisjobs/queue/", "/admin/redisjobs/worker/"]
EVIL = "<script>alert(1)</script>"


def page_of(job_id: str) -> str:
    return reverse("admin:redisjobs_job_change", args=[job_id])


def shown(browser: Client, path: str, **query: str) -> str:
    answer = browser.get(path, query)
    assert answer.status_code == 200
    return answer.content.decode()


def listed(browser: Client, **query: str) -> list[str]:
    answer = browser.get(JOBS, query)
    assert answer.status_code == 200, answer
    return [job.pk for job in answer.context["cl"].result_list]


def evil_job(store: Store) -> str:
    """A job whose every text is HTML, which failed."""
    body = json.dumps([f"shop.{EVIL}", [EVIL], {EVIL: EVIL}])
    (job_id,) = store.add("default", body=body)
    worker = store.worker("default", name=EVIL.replace(" ", ""))
    (job,) = worker.claim()
    attempt = AttemptRecord(1, 1, EVIL, 1, 2, "failed", EVIL, EVIL, EVIL)
    worker.settle(
        job,
        kind="failed",
        error=EVIL,
        attempt=attempt.to_json(),
        meta=json.dumps({EVIL: EVIL}),
        progress=json.dumps({"done": 1, "total": 2, "message": EVIL}),
    )
    return job_id


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_for_those_who_may_see_them(
    redisjobs: dict[str, Any], staff: Staff, path: str
):
    browser = staff()

    assert browser.get(path).status_code == 403
    assert Client().get(path).status_code == 302


@pytest.mark.parametrize("path", PAGES)
def test_empty_pages(redisjobs: dict[str, Any], browser: Client, path: str):
    assert "redisjobs/admin.css" in shown(browser, path)


def test_permissions_are_those_that_the_docs_name(db: None):
    names = {
        model: set(
            ContentType.objects.get(
                app_label="redisjobs", model=model
            ).permission_set.values_list("codename", flat=True)
        )
        for model in ("job", "queue", "worker")
    }

    assert names == {
        "job": {
            *("view_job", "retry_job", "cancel_job", "delete_job"),
            *("run_job", "move_job"),
        },
        "queue": {"view_queue", "pause_queue", "purge_queue"},
        "worker": {"view_worker", "control_worker"},
    }


def test_the_list_is_filtered_searched_and_sorted(store: Store, browser: Client):
    sent = store.add("high", 2, body='["shop.jobs.send",[1],{}]')
    charged = store.add("low", 2, body='["shop.jobs.charge",[1],{}]')
    later = store.add("low", body='["shop.jobs.charge",[1],{}]', delay_ms=60_000)

    assert set(listed(browser)) == {*sent, *charged, *later}
    assert set(listed(browser, queue="low")) == {*charged, *later}
    assert listed(browser, status__exact="scheduled") == later
    assert listed(browser, status__exact="pending", queue="low") == charged
    assert set(listed(browser, q="SEND")) == set(sent)
    assert listed(browser, q=sent[0]) == [sent[0]]
    assert listed(browser, q=f"…{sent[1][-8:]}") == [sent[1]]
    assert listed(browser, q="3" * 20) == []
    assert [Job.objects.get(pk=pk).function for pk in listed(browser, o="1")] == [
        *["shop.jobs.charge"] * 3,
        *["shop.jobs.send"] * 2,
    ]


def test_the_list_has_pages(store: Store, browser: Client):
    ids = store.add("low", 120)

    seen = [listed(browser, p=str(number)) for number in (1, 2, 3)]

    assert [len(page) for page in seen] == [50, 50, 20]
    assert {pk for page in seen for pk in page} == set(ids)


def test_the_list_says_when_it_does_not_look_at_all(
    store: Store, browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jobsource, "LOOKED_AT", 10)
    store.add("low", 20)
    store.add("high", delay_ms=60_000)

    assert "among the newest" in shown(browser, JOBS)
    assert "among the newest" not in shown(browser, JOBS, queue="low")


@pytest.mark.parametrize(
    "query",
    [
        {"enqueued_at__year": "2026"},
        {"nonsense": "1"},
        {"queue__regex": "("},
        {"p": "99"},
        {"o": "-99.x"},
        {"enqueued_at__gte": "soon"},
        {"changed_at__year": "9999"},
        {"changed_at__year": "9999", "changed_at__month": "12"},
    ],
)
def test_a_crafted_address_is_no_server_error(
    store: Store, browser: Client, query: dict[str, str]
):
    store.add("low")

    answer = browser.get(JOBS, query)

    assert answer.status_code in {200, 302, 400}


def test_facets(store: Store, browser: Client):
    store.add("low", 2)

    text = shown(browser, JOBS, _facets="True")

    assert "pending (2)" in text
    assert "low (2)" in text
    assert "high (0)" in text


def test_one_job_with_its_attempts(store: Store, browser: Client):
    body = json.dumps(
        ["shop.jobs.send", [7, {"$": "Decimal", "v": "1.50"}], {"to": "ada"}]
    )
    (job_id,) = store.add("default", body=body)
    worker = store.worker("default", name="w1-1")
    (job,) = worker.claim()
    failed = AttemptRecord(
        1, 1, "w1-1", 1000, 1250, "failed", "builtins.ValueError", "no", "Trace <b>"
    )
    worker.settle(job, kind="retry", attempt=failed.to_json())
    store.do(_promote(store, job_id))
    (job,) = worker.claim()
    worker.settle(job, result='{"sent": [1]}', result_ttl_ms=60_000, started_ms=1)

    text = shown(browser, page_of(job_id))

    for piece in (
        "shop.jobs.send",
        job_id,
        "Decimal(&#x27;1.50&#x27;)",
        '<th scope="row">to</th>',
        "builtins.ValueError",
        "Trace &lt;b&gt;",
        "250 ms",
        "{&#x27;sent&#x27;: [1]}",
        "w1-1",
    ):
        assert piece in text, piece


def _promote(store: Store, job_id: str) -> Any:
    """Let a job that waits for its retry be due."""
    yield [("ZADD", store.keys.scheduled("default"), 1, job_id)]
    yield [("DEL", f"{store.keys.base}maintained")]


def test_progress_of_a_running_job(store: Store, browser: Client):
    (job_id,) = store.add("default")
    worker = store.worker("default")
    (job,) = worker.claim()
    told = {"done": 130, "total": 400, "message": "3 bad rows"}
    worker.settle(job, kind="note", progress=json.dumps(told))

    text = shown(browser, page_of(job_id))

    assert 'value="32"' in text
    assert "3 bad rows" in text
    assert "rj-running" in text


def test_html_in_anything_is_shown_as_text(store: Store, browser: Client):
    job_id = evil_job(store)
    store.pause("default", reason=EVIL, by=EVIL)
    store.add(EVIL.replace(" ", ""))

    for path in (page_of(job_id), *PAGES):
        text = shown(browser, path)

        assert EVIL not in text, path
    assert "&lt;script&gt;" in shown(browser, page_of(job_id))


@pytest.mark.parametrize("kind", ["note", "failed"])
def test_what_utf_8_cannot_carry_is_spelled_out(
    store: Store, browser: Client, kind: str
):
    body = r'["shop.\ud800",["\ud800"],{"\ud800":1}]'
    (job_id,) = store.add("default", body=body)
    worker = store.worker("default")
    (job,) = worker.claim()
    told = r'{"done":1,"message":"caf\udce9.txt"}'
    worker.settle(job, kind=kind, progress=told)
    paused = r'0 1 {"reason":"\ud800","by":"\ud800"}'
    store.client.hset(store.keys.paused, "default", paused)

    assert r"caf\udce9.txt" in shown(browser, page_of(job_id))
    for path in PAGES:
        shown(browser, path)


def test_what_redact_names_is_nowhere_on_the_page(
    store: Store, browser: Client, redisjobs: dict[str, Any]
):
    body = json.dumps(["shop.send", ["s3cret"], {"token": "s3cret", "to": "ada"}])
    (job_id,) = store.add("default", body=body)
    worker = store.worker("default")
    (job,) = worker.claim()
    # As before there was a REDACT: with what the error and its traceback tell.
    attempt = AttemptRecord(1, 1, "w", 1, 2, "failed", "E", "no s3cret", "in s3cret")
    worker.settle(
        job,
        kind="failed",
        error="E: no s3cret",
        attempt=attempt.to_json(),
        meta='{"token": "s3cret"}',
        progress='{"done":1,"message":"with s3cret"}',
    )
    (broken,) = store.add("low", body="rubbish s3cret")

    with override_settings(REDISJOBS={**redisjobs, "REDACT": ["to*en"]}):
        text, raw = shown(browser, page_of(job_id)), shown(browser, page_of(broken))
        jobs = shown(browser, JOBS)

        (group,) = browser.get(OVERVIEW).context["page"].groups
        guessed = browser.get(f"{JOBS}?error__startswith=E: no s")

    assert "s3cret" not in text + raw + jobs
    assert "E: no [hidden]" in jobs
    assert group.message == "no [hidden]"
    # An answer for each guess would tell it.
    assert guessed.status_code == 400
    assert "[hidden]" in text
    assert "ada" in text
    assert "s3cret" in shown(browser, page_of(job_id))


def test_a_failure_with_long_arguments_says_what_is_not_hidden(
    store: Store, browser: Client, redisjobs: dict[str, Any]
):
    body = json.dumps(["shop.send", [], {"token": "s3cret", "text": "x" * 5_000}])
    store.add("default", body=body)
    worker = store.worker("default")
    (job,) = worker.claim()
    attempt = AttemptRecord(1, 1, "w", 1, 2, "failed", "E", "no s3cret", "")
    worker.settle(job, kind="failed", error="E: no", attempt=attempt.to_json())

    with override_settings(REDISJOBS={**redisjobs, "REDACT": ["token"]}):
        (group,) = browser.get(OVERVIEW).context["page"].groups

    assert group.message == "no [hidden]"


def test_what_cannot_be_decoded_is_shown_raw(store: Store, browser: Client):
    (broken,) = store.add("low", body="rubbish <i>")
    (strange,) = store.add("low", body='["f",[{"$":"Unknown","v":[1]}],{}]')
    (gone,) = store.add("low", body='["f",[{"$":"Enum","v":["gone:Kind","A"]}],{}]')

    assert "rubbish &lt;i&gt;" in shown(browser, page_of(broken))
    assert "Unknown" in shown(browser, page_of(strange))
    assert "gone:Kind" in shown(browser, page_of(gone))
    assert "(unreadable)" in shown(browser, JOBS)


def test_model_instances_are_references_that_nobody_fetches(
    store: Store, browser: Client
):
    body = '["f",[{"$":"model","v":"auth.user:12345@default"}],{}]'
    (job_id,) = store.add("low", body=body)

    assert "auth.user" in shown(browser, page_of(job_id))


def test_long_values_are_cut(store: Store, browser: Client):
    (job_id,) = store.add("low", body=json.dumps(["f", ["x" * 50_000], {}]))

    text = shown(browser, page_of(job_id))

    assert "more characters" in text
    assert len(text) < 40_000


def test_no_page_asks_the_database_for_these_models(store: Store, browser: Client):
    job_id = evil_job(store)

    with CaptureQueriesContext(connection) as queries:
        for path in (page_of(job_id), *PAGES):
            shown(browser, path)

    assert not [q["sql"] for q in queries if '"redisjobs_' in q["sql"]]


def test_nothing_can_be_changed_through_the_forms(store: Store, browser: Client):
    (job_id,) = store.add("low")

    for path in (page_of(job_id), f"{JOBS}add/", f"{JOBS}{job_id}/delete/"):
        assert browser.post(path, {"queue": "high"}).status_code == 403
    assert browser.get(f"{JOBS}add/").status_code == 403
    assert store.record(job_id).queue == "low"


def test_an_unknown_job_is_said_to_be_unknown(
    redisjobs: dict[str, Any], browser: Client
):
    answer = browser.get(page_of("f" * 28), follow=True)

    assert answer.status_code == 200
    assert "doesn’t exist" in answer.content.decode()


def test_queue_numbers_lead_to_their_jobs(store: Store, browser: Client):
    store.add("low", 3)
    store.pause("low", reason="stocktaking", by="ada")

    text = shown(browser, "/admin/redisjobs/queue/")

    assert "queue=low&amp;status__exact=pending" in text
    assert "by ada since" in text
    assert "<q>stocktaking</q>" in text
    assert browser.get("/admin/redisjobs/queue/low/change/").status_code == 200


def test_a_queue_that_has_moved_has_one_page(
    redisjobs: dict[str, Any], store: Store, browser: Client
):
    (left_behind,) = store.add("low")
    queues = {"high": {}, "default": {}, "low": {"GROUP": "bulk"}}

    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        Store(store.client, conf.keys_for("low")).add("low")
        page = browser.get("/admin/redisjobs/queue/low/change/")
        jobs = browser.get("/admin/redisjobs/job/?queue=low&status__exact=pending")

    assert page.status_code == 200
    assert page.context["original"].pending == 2
    assert jobs.context["cl"].result_count == 2
    assert left_behind in jobs.content.decode()


def test_a_worker_whose_lease_ended_is_shown_as_silent(store: Store, browser: Client):
    (job_id,) = store.add("low")
    worker = store.worker("low", name="quiet-1")
    worker.claim()
    store.client.zadd(store.keys.workers, {"quiet-1": 1000})

    text = shown(browser, "/admin/redisjobs/worker/")

    assert "silent" in text
    assert job_id[-8:] in text
    assert browser.get("/admin/redisjobs/worker/quiet-1/change/").status_code == 200


@pytest.mark.parametrize(
    "path",
    [*PAGES, f"{JOBS}{'f' * 28}/change/", f"{JOBS}{'f' * 28}/history/"],
)
def test_redis_away_is_a_page_inside_the_admin(
    redisjobs: dict[str, Any], browser: Client, path: str
):
    away = {**redisjobs, "URL": "redis://:secret@127.0.0.1:1/0"}

    with override_settings(REDISJOBS=away):
        answer = browser.get(path)

    text = answer.content.decode()
    assert answer.status_code == 503
    assert "127.0.0.1:1" in text
    assert "secret" not in text
    assert "Background jobs" in text


def test_redis_that_goes_away_between_view_and_template(
    store: Store, browser: Client, redisjobs: dict[str, Any], rf: Any
):
    class Asking(JobAdmin):
        """With a column of a project's own, which the template asks for."""

        list_display = ("id", "depth")

        def depth(self, job: Job) -> int:
            return get_queue(job.queue).depth()

    store.add("low", 3)
    request = rf.get(JOBS)
    request.user = User.objects.get(username="ada")
    response = Asking(Job, admin.site).changelist_view(request)

    with override_settings(REDISJOBS={**redisjobs, "URL": "redis://127.0.0.1:1/0"}):
        response.render()

    assert response.status_code == 503
    assert "127.0.0.1:1" in response.content.decode()


QUERIES = [
    *("status__exact=pending", "status__exact=failed&p=2", "queue=low", "all="),
    *("status__exact=running", "status__exact=scheduled&queue=low"),
    *("function=shop.jobs.send", "time=1h", "status__exact=failed&time=7d"),
    *("q=send", "q=01", f"q={'3' * 20}", "o=2", "status__exact=failed&o=-2"),
    *("_facets=True", "_facets=True&status__exact=failed&time=1h"),
    *("_facets=True&function=shop.jobs.send&q=1", "size=25&queue=low"),
    "changed_at__year=2026&changed_at__month=11",
]


def test_each_page_costs_few_round_trips(
    store: Store, browser: Client, trips: list[int]
):
    for queue in ("high", "default", "low"):
        store.add(queue, 80)
        store.add(queue, 5, delay_ms=60_000)
        worker = store.worker(queue)
        worker.settle(*worker.claim(60), kind="failed", error="ValueError: no")
        store.worker(queue).claim(3)

    for path in (*PAGES, *(f"{JOBS}?{query}" for query in QUERIES)):
        trips.clear()
        shown(browser, path)
        assert len(trips) <= 5, (path, trips)


OVERVIEW = "/admin/redisjobs/queue/"


@pytest.mark.parametrize("period", ["1h", "24h", "7d", "nonsense"])
def test_the_overview_shows_what_ended(store: Store, browser: Client, period: str):
    evil_job(store)

    text = shown(browser, OVERVIEW, period=period)

    assert 'role="img"' in text
    assert ": 0 succeeded, 1 failed" in text
    assert text.count('aria-current="true"') == 1


@pytest.mark.parametrize("period", ["1h", "24h", "7d"])
def test_the_overview_shows_percentiles(store: Store, browser: Client, period: str):
    store.add("low", 5)
    worker = store.worker("low")
    settlements = []
    for job, ran_ms in zip(worker.claim(5), (0, 1, 2, 2, 3), strict=True):
        started_ms = job.enqueued_ms + 3
        times = {"started_ms": started_ms, "finished_ms": started_ms + ran_ms}
        settlements.append(settlement(job, **times))
    worker.exchange(settlements)

    text = shown(browser, OVERVIEW, period=period)

    # As a picture for those who see it, in words for all others, and in a table.
    assert 'aria-label="Wait: p50 3 ms, p95 3 ms, p99 3 ms"' in text
    assert 'aria-label="Run: p50 2 ms, p95 3 ms, p99 3 ms"' in text
    assert ": p50 2 ms, p95 3 ms, p99 3 ms</title>" in text
    cells = [f'<td class="rj-number">{ms} ms</td>' for ms in (3, 3, 3, 2, 3, 3)]
    assert "".join(cells) in text
    assert text.count("<polyline") >= 6
    card = text.partition('href="/admin/redisjobs/job/?queue=low"')[2]
    for name, value in (("wait p50", 3), ("wait p95", 3), ("run p95", 3)):
        assert f"<dt>{name}</dt><dd>{value} ms</dd>" in card


def test_the_overview_of_nothing_has_no_percentiles(store: Store, browser: Client):
    text = shown(browser, OVERVIEW)

    assert 'aria-label="Run: p50 –, p95 –, p99 –"' in text
    assert "<dt>run p95</dt><dd>–</dd>" in text


def test_failures_are_grouped(store: Store, browser: Client):
    for number in range(3):
        store.add("low", body=json.dumps(["shop.jobs.charge", [number], {}]))
        worker = store.worker("low")
        (job,) = worker.claim()
        failed = AttemptRecord(1, 1, "w", 1, 2, "failed", "shop.Declined", "no", "")
        worker.settle(job, kind="failed", attempt=failed.to_json())

    (group,) = browser.get(OVERVIEW).context["page"].groups

    assert (group.function, group.reason, group.number) == (
        *("shop.jobs.charge", "shop.Declined"),
        3,
    )
    assert browser.get(group.link).status_code == 200


def test_a_refresh_is_the_part_that_changes(store: Store, browser: Client):
    answer = browser.get(OVERVIEW, headers={"X-Redisjobs-Live": "rj-overview"})

    text = answer.content.decode()
    assert text.lstrip().startswith('<div id="rj-overview">')
    assert "<html" not in text


def test_the_overview_has_no_inline_script_or_style(store: Store, browser: Client):
    evil_job(store)

    text = shown(browser, OVERVIEW).partition('id="content-main"')[2]

    assert " style=" not in text
    assert "<style" not in text
    assert all("src=" in part.partition(">")[0] for part in text.split("<script")[1:])


def test_who_may_not_look_is_not_told_about_redis_either(
    redisjobs: dict[str, Any], staff: Staff
):
    browser = staff("view_queue")
    with override_settings(REDISJOBS={**redisjobs, "URL": "redis://127.0.0.1:1/0"}):
        answers = [
            browser.get(f"{JOBS}{'f' * 28}/{page}/") for page in ("change", "history")
        ]

    assert [answer.status_code for answer in answers] == [403, 403]


def test_running_functions_are_for_those_who_may_see_jobs(store: Store, staff: Staff):
    store.add("low", body=json.dumps(["shop.jobs.charge", [], {}]))
    store.worker("low").claim()

    text = shown(staff("view_worker"), "/admin/redisjobs/worker/")

    assert "rj-tasks" in text
    assert "shop.jobs.charge" not in text


def test_jobs_and_workers_are_for_those_who_may_see_them(store: Store, staff: Staff):
    evil_job(store)
    store.worker("low", name="secretive", started_ms=str(store.now_ms() - 1000))

    text = shown(staff("view_queue"), OVERVIEW)

    assert "secretive" not in text
    assert "rj-failures" not in text
    assert "rj-workers" not in text
    assert "/redisjobs/job/" not in text.partition('id="content-main"')[2]


def test_a_card_tells_that_the_settings_lack_its_queue(store: Store, browser: Client):
    words = "The settings do not have this queue."
    store.add("low")
    assert words not in shown(browser, OVERVIEW)

    store.add("gone")

    assert shown(browser, OVERVIEW).count(words) == 1


def test_waiting_jobs_that_nobody_runs_are_told(store: Store, browser: Client):
    store.add("low")

    assert "no worker is alive" in shown(browser, OVERVIEW)
