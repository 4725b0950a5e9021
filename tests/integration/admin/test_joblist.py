"""The list of jobs: filters, search, dates, sizes of pages, and where it ends."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client, override_settings

from django_redisjobs.admin import jobsource
from django_redisjobs.admin.queryset import periods
from django_redisjobs.admin.sources import moment
from django_redisjobs.models import Job
from tests.integration.core.store import Store

from .test_pages import JOBS, listed, shown

SEND = '["shop.jobs.send",[1],{"to":"ada@example.com"}]'
CHARGE = '["shop.jobs.charge",[4711],{"card":"4000-1234"}]'


def end(store: Store, queue: str, number: int = 1, kind: str = "failed") -> list[str]:
    """Jobs that ended one after the other, the first first."""
    ids = store.add(queue, number)
    worker = store.worker(queue)
    for job in worker.claim(number):
        worker.settle(job, kind=kind)
    return ids


def age(store: Store, status: str, queue: str, ids: list[str], *days: float) -> None:
    """As if these jobs had ended so many days ago."""
    now = store.now_ms()
    times = [now - int(each * 86_400_000) for each in days]
    store.client.zadd(
        store.keys.ended(status, queue), dict(zip(ids, times, strict=True))
    )


def test_a_status_is_one_list_over_all_queues(store: Store, browser: Client):
    ids = [end(store, queue)[0] for queue in ("high", "low", "high", "default")]
    for place, job_id in enumerate(ids):
        queue = ("high", "low", "high", "default")[place]
        age(store, "failed", queue, [job_id], 1 - place / 10)

    assert listed(browser, status__exact="failed") == ids[::-1]


def test_what_waits_is_listed_as_workers_take_it(store: Store, browser: Client):
    low, high = store.add("low", 2), store.add("high", 2)
    (urgent,) = store.add("low", priority=5)

    assert listed(browser, status__exact="pending") == [*high, urgent, *low]


def test_it_says_why_jobs_failed(store: Store, browser: Client):
    end(store, "low")
    store.cancel(*store.add("low"))
    store.add("high")

    text = shown(browser, JOBS)

    assert text.count('title="ValueError: no">ValueError: no</small>') == 1
    assert text.count("rj-why") == 1


def test_why_a_job_failed_may_take_a_book(store: Store, browser: Client):
    store.add("low")
    worker = store.worker("low")
    (job,) = worker.claim()
    worker.settle(job, kind="failed", error="<i>\n" + "x" * 9_000)

    text = shown(browser, JOBS)

    assert "&lt;i&gt;" in text
    assert "x" * 200 in text
    assert "x" * 400 not in text


def test_what_is_due_first_is_listed_first(store: Store, browser: Client):
    (late,) = store.add("high", delay_ms=90_000)
    (soon,) = store.add("low", delay_ms=60_000)

    assert listed(browser, status__exact="scheduled") == [soon, late]


def test_different_statuses_are_listed_newest_first(store: Store, browser: Client):
    (failed,) = end(store, "low")
    (scheduled,) = store.add("low", delay_ms=60_000)
    (pending,) = store.add("high")

    assert set(listed(browser)) == {failed, scheduled, pending}
    moments = [Job.objects.get(pk=pk).changed_at for pk in listed(browser)]
    assert moments == sorted(moments, reverse=True)


def test_cancelled_jobs_do_not_hide_those_that_wait(store: Store, browser: Client):
    # The ids of the former stay in the list until a worker comes by.
    store.cancel(*store.add("low", 120))
    ids = store.add("low", 2)

    assert listed(browser, status__exact="pending", queue="low") == ids


def test_jobs_of_a_function(store: Store, browser: Client):
    (sent,) = store.add("low", body=SEND)
    (charged,) = store.add("high", body=CHARGE)

    assert listed(browser, function="shop.jobs.charge") == [charged]
    assert listed(browser, function="shop.jobs.charge", queue="low") == []
    text = shown(browser, JOBS, function="shop.jobs.other")
    for name in ("charge", "send", "other"):
        assert f">shop.jobs.{name}</a>" in text
    assert sent not in text


def test_functions_that_ended_lately_are_offered(store: Store, browser: Client):
    store.delete(*end(store, "low"))

    assert ">shop.jobs.send</a>" in shown(browser, JOBS)


def test_jobs_of_a_time(store: Store, browser: Client):
    ids = end(store, "low", 3, kind="succeeded")
    age(store, "succeeded", "low", ids, 5, 0.5, 0)
    every = {"status__exact": "succeeded"}

    assert listed(browser, **every, time="1h") == ids[2:]
    assert listed(browser, **every, time="24h") == ids[:0:-1]
    assert listed(browser, **every, time="7d") == ids[::-1]
    assert listed(browser, time="soon") == []
    assert listed(browser, time="15m") == ids[2:]
    (pending,) = store.add("low")
    assert set(listed(browser, time="15m")) == {pending, ids[2]}


@override_settings(USE_TZ=False, TIME_ZONE="America/St_Johns")
def test_a_time_may_have_a_zone_where_django_has_none(store: Store, browser: Client):
    (job_id,) = store.add("low")
    now = datetime.fromtimestamp(store.now_ms() / 1000, UTC)
    before, after = (now + timedelta(minutes=minutes) for minutes in (-2, 2))

    assert listed(browser, changed_at__gte=before.isoformat()) == [job_id]
    assert listed(browser, changed_at__gte=after.isoformat()) == []
    (row,) = Job.objects.filter(changed_at__range=(before, after))
    assert row.pk == job_id
    assert listed(browser, changed_at__gte="9999-12-31T23:59:59-02:00") == []
    assert listed(browser, changed_at__lt="0001-01-01T00:00:00Z") == []


def test_a_time_is_counted_by_its_index(store: Store, browser: Client):
    ids = end(store, "low", 4)
    age(store, "failed", "low", ids, 5, 5, 5, 0)

    answer = browser.get(JOBS, {"status__exact": "failed", "time": "1h"})

    assert answer.context["cl"].result_count == 1
    assert answer.context["cl"].full_result_count == 4


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("4711", 1),
        ("ADA@example", 1),
        ("charge 4000", 1),
        ("charge ada", 0),
        ('"shop.jobs.send"', 1),
        ("shop.", 2),
        ("'", 0),
        ("   ", 2),
    ],
)
def test_words_are_looked_for_in_function_and_arguments(
    store: Store, browser: Client, words: str, number: int
):
    store.add("low", body=SEND)
    store.add("high", body=CHARGE)

    assert len(listed(browser, q=words)) == number


@pytest.mark.parametrize("words", ["89490200001234567890", "DEADBEEF00DEADBEEF00"])
def test_words_as_long_as_an_id_are_looked_for_too(
    store: Store, browser: Client, words: str
):
    (job_id,) = store.add("low", body=json.dumps(["shop.jobs.ship", [words], {}]))

    assert listed(browser, q=words) == [job_id]
    assert listed(browser, q=job_id) == [job_id]


def test_what_is_hidden_cannot_be_searched_for(
    store: Store, browser: Client, redisjobs: dict[str, Any]
):
    store.add("low", body=CHARGE)

    assert len(listed(browser, q="4000-1234")) == 1
    with override_settings(REDISJOBS={**redisjobs, "REDACT": ["card"]}):
        assert listed(browser, q="4000-1234") == []
        # It is unknown which parameter a positional argument of that function fills.
        assert listed(browser, q="4711") == []
        assert len(listed(browser, q="charge")) == 1


def test_a_body_that_nobody_can_read_is_found_by_its_id(store: Store, browser: Client):
    (job_id,) = store.add("low", body="rubbish")

    assert listed(browser, q=job_id[-8:]) == [job_id]
    assert listed(browser, q="rubbish") == []


def test_dates_lead_from_month_to_day(store: Store, browser: Client):
    ids = end(store, "low", 2)
    moment = datetime(2026, 3, 4, 5, tzinfo=UTC).timestamp()
    now = store.now_ms() / 1000
    age(
        store,
        "failed",
        "low",
        ids,
        (now - moment) / 86400,
        (now - moment - 90_000) / 86400,
    )
    every = {"status__exact": "failed"}

    text = shown(browser, JOBS, **every)
    assert "changed_at__day=4" in text
    assert "changed_at__day=5" in text
    assert "changed_at__day=6" not in text
    day = {"changed_at__year": "2026", "changed_at__month": "3"}
    assert listed(browser, **every, **day) == ids[::-1]
    assert listed(browser, **every, **day, changed_at__day="4") == ids[:1]
    assert listed(browser, **every, changed_at__year="2025") == []


def test_dates_of_mixed_jobs_are_those_of_its_rows(store: Store, browser: Client):
    end(store, "low")
    store.add("low")
    today = datetime.now(UTC)

    assert f"changed_at__day={today.day}" in shown(browser, JOBS)
    assert "changed_at__day" not in shown(browser, JOBS, status__exact="pending")


@pytest.mark.parametrize(("kind", "number"), [("day", 32), ("month", 2), ("year", 2)])
def test_periods_from_one_time_to_another(kind: str, number: int):
    first = datetime(2025, 12, 31, 12, tzinfo=UTC)

    found = sorted(periods(first, datetime(2026, 1, 31, 23, tzinfo=UTC), kind))

    assert len(found) == number
    assert found[0] <= first
    assert all(one.hour == 0 for one in found)


def test_pages_have_the_size_that_is_asked_for(store: Store, browser: Client):
    store.add("low", 60)

    assert len(listed(browser)) == 50
    assert len(listed(browser, size="25")) == 25
    assert len(listed(browser, size="25", p="3")) == 10
    assert len(listed(browser, size="1000")) == 50
    assert 'aria-current="true">25</a>' in shown(browser, JOBS, size="25")


def test_counts_beside_filters_are_of_all_jobs(
    store: Store, browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jobsource, "LOOKED_AT", 10)
    store.add("low", 20, body=SEND)
    store.add("high", 3, body=CHARGE, delay_ms=60_000)
    end(store, "high", 2)

    text = shown(browser, JOBS, _facets="True")

    for words in ("pending (20)", "scheduled (3)", "failed (2)", "high (5)"):
        assert words in text
    # Of the newest ten, which is said.
    assert re.search(r"shop.jobs.charge \([0-3]\)", text)
    assert "among the newest" in text


def test_a_list_over_queues_says_where_it_ends(
    store: Store, browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jobsource, "DEEPEST", 4)
    end(store, "low", 3)
    end(store, "high", 3)

    assert len(listed(browser, status__exact="failed")) == 4
    assert "it ends after 4" in shown(browser, JOBS, status__exact="failed")
    assert len(listed(browser, status__exact="failed", queue="low")) == 3
    assert "it ends" not in shown(browser, JOBS, status__exact="failed", queue="low")


def test_an_order_by_a_column_looks_at_the_newest(
    store: Store, browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jobsource, "LOOKED_AT", 5)
    store.add("low", 9)

    assert "among the newest 5" in shown(browser, JOBS, o="2")
    assert len(listed(browser, o="2")) == 5


def test_all_that_match_are_counted_beyond_the_page(store: Store, staff: Any):
    browser = staff("view_job", "cancel_job")
    store.add("low", 130)

    text = shown(browser, JOBS, status__exact="pending")

    assert "Select all 130 jobs" in text


@pytest.mark.parametrize("longest", [200, 590, 605, 640])
def test_of_long_records_the_beginning_is_looked_at(
    store: Store, browser: Client, monkeypatch: pytest.MonkeyPatch, longest: int
):
    monkeypatch.setattr(jobsource, "LONGEST", longest)
    body = f'["shop.jobs.send",["first","{"x" * 500}","last"],{{}}]'
    (waiting,) = store.add("low", body=body)
    (failed,) = store.add("high", body=body)
    worker = store.worker("high")
    worker.settle(*worker.claim(), kind="failed", error="ValueError: no")

    assert set(listed(browser)) == {waiting, failed}
    assert listed(browser, o="3") == [failed, waiting]
    assert set(listed(browser, function="shop.jobs.send")) == {waiting, failed}
    assert set(listed(browser, q="last")) <= {waiting, failed}
    # A list that an index answers has them whole.
    (row,) = browser.get(JOBS, {"status__exact": "failed"}).context["cl"].result_list
    assert row.error == "ValueError: no"


# What is looked through at once is 4,096 bytes.
@pytest.mark.parametrize("result", [10, 4_090, 9_000])
@pytest.mark.parametrize("argument", [10, 150, 9_000])
def test_long_records_tell_when_and_how_they_ended(
    store: Store,
    browser: Client,
    monkeypatch: pytest.MonkeyPatch,
    argument: int,
    result: int,
):
    monkeypatch.setattr(jobsource, "LONGEST", 250)
    (job_id,) = store.add("low", body=f'["shop.jobs.send",["{"x" * argument}"],{{}}]')
    enqueue_earlier(store, job_id, hours=2)
    worker = store.worker("low")
    worker.settle(*worker.claim(), result=f'"{"y" * result}"')

    answer = browser.get(JOBS, {"function": "shop.jobs.send", "time": "1h"})

    (row,) = answer.context["cl"].result_list
    found = store.record(job_id)
    assert row.status == "succeeded"
    assert row.started_at == moment(found.started_ms)
    assert row.finished_at == row.changed_at == moment(found.finished_ms)
    assert (row.run, row.attempts_made, row.worker) == (1, 1, worker.name)


def enqueue_earlier(store: Store, job_id: str, *, hours: int) -> None:
    """As if a job had waited for so long."""
    key = store.keys.job(job_id)
    raw = store.client.get(key)
    assert raw is not None
    version, queue, priority, enqueued, *rest = raw.split(b" ", 4)
    enqueued, newline, body = enqueued.partition(b"\n")
    earlier = str(int(enqueued) - hours * 3_600_000).encode()
    record = b" ".join((version, queue, priority, earlier + newline + body, *rest))
    store.client.set(key, record)
