"""Query sets over Redis: what Django's own would answer, and no SQL."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import NotSupportedError
from django.db.models import Count, F, Max, Min, Q
from django.utils import timezone

from django_redisjobs.admin import jobsource
from django_redisjobs.models import Job, Queue, Worker
from tests.integration.core.store import Store

SEND = '["shop.jobs.send",[1],{}]'
CHARGE = '["shop.jobs.charge",[1],{}]'


@pytest.fixture
def jobs(store: Store) -> dict[str, list[str]]:
    """Some of each; a job of ``high`` failed, one of ``low`` succeeded."""
    failed, succeeded = store.add("high", body=CHARGE), store.add("low", body=SEND)
    worker = store.worker("high", "low")
    worker.settle(*worker.claim(1), kind="failed", error="ValueError: no")
    worker.settle(*worker.claim(1), result="3", result_ttl_ms=60_000)
    return {
        "failed": failed,
        "succeeded": succeeded,
        "pending": store.add("default", 3, body=SEND),
        "scheduled": store.add("default", 2, body=CHARGE, delay_ms=60_000),
    }


def test_each_status_is_found_and_counted(jobs: dict[str, list[str]]):
    for status, ids in jobs.items():
        found = Job.objects.filter(status=status)

        assert found.count() == len(ids)
        assert {job.pk for job in found} == set(ids)
        assert {job.status for job in found} == {status}


def test_a_row_has_what_redis_knows(jobs: dict[str, list[str]]):
    job = Job.objects.get(pk=jobs["failed"][0])

    assert (job.function, job.queue, job.error) == (
        "shop.jobs.charge",
        "high",
        "ValueError: no",
    )
    assert timezone.now() - job.enqueued_at < timedelta(minutes=1)
    assert (job.run, job.due_at) == (1, None)
    assert job.started_at <= job.finished_at


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Q(queue="default"), 5),
        (Q(queue="default", status="pending"), 3),
        (Q(queue__in=["high", "low"]), 2),
        (Q(status="failed") | Q(status="scheduled"), 3),
        (Q(status="failed") ^ Q(queue="high"), 0),
        (~Q(status="pending"), 4),
        (~Q(queue="default") & ~Q(status="failed"), 1),
        (Q(function="shop.jobs.charge"), 3),
        (Q(function__icontains="CHARGE"), 3),
        (Q(function__startswith="shop."), 7),
        (Q(function__endswith=".send"), 4),
        (Q(function__iexact="SHOP.jobs.send"), 4),
        (Q(finished_at__isnull=False), 2),
        (Q(due_at__gt=timezone.now()), 2),
        (Q(run__gte=1), 2),
        (Q(run__range=(0, 0)), 5),
        (Q(pk__in=[]), 0),
        (Q(queue="high") & Q(queue="low"), 0),
        (Q(queue="nowhere"), 0),
        (Q(), 7),
    ],
)
def test_conditions_mean_what_they_mean_in_sql(
    jobs: dict[str, list[str]], condition: Q, expected: int
):
    found = Job.objects.filter(condition)

    assert len(found) == found.all().count() == expected
    assert found.exists() == bool(expected)


def test_random_conditions_agree_with_python(jobs: dict[str, list[str]]):
    rng = random.Random(7)
    everything = list(Job.objects.all())
    simple: list[tuple[Q, Any]] = [
        (Q(queue="default"), lambda job: job.queue == "default"),
        (Q(status="failed"), lambda job: job.status == "failed"),
        (Q(function__contains="send"), lambda job: "send" in job.function),
        (Q(run=0), lambda job: job.run == 0),
    ]

    for _ in range(40):
        (one, is_one), (two, is_two) = rng.choices(simple, k=2)
        kind = rng.choice(["and", "or", "not and"])
        condition = one | two if kind == "or" else one & two
        found = Job.objects.filter(~condition if kind == "not and" else condition)
        wanted = {
            job.pk
            for job in everything
            if {
                "and": is_one(job) and is_two(job),
                "or": is_one(job) or is_two(job),
                "not and": not (is_one(job) and is_two(job)),
            }[kind]
        }

        assert {job.pk for job in found} == wanted, condition
        assert found.all().count() == len(wanted), condition


def test_order_slices_and_reversal(jobs: dict[str, list[str]]):
    ordered = Job.objects.order_by("function", "-pk")
    names = [(job.function, job.pk) for job in ordered.all()]

    assert names == sorted(sorted(names, key=lambda n: n[1], reverse=True), key=first)
    assert [job.pk for job in ordered[2:4]] == [pk for _, pk in names[2:4]]
    assert ordered.all()[1].pk == names[1][1]
    assert ordered.last().pk == names[-1][1]
    assert [job.pk for job in ordered.reverse()] == [pk for _, pk in names[::-1]]
    assert ordered.all()[5:].count() == 2
    assert [j.pk for j in Job.objects.order_by(F("function").asc(), "-pk")] == [
        pk for _, pk in names
    ]


def first(pair: tuple[str, str]) -> str:
    return pair[0]


def test_rows_without_a_value_sort_together(jobs: dict[str, list[str]]):
    found = [job.finished_at for job in Job.objects.order_by("-finished_at")]

    assert [moment is None for moment in found] == [False] * 2 + [True] * 5


def test_one_queue_and_status_pages_through_all_of_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jobsource, "LOOKED_AT", 10)
    ids = store.add("low", 35)
    found = Job.objects.filter(queue="low", status="pending")

    pages = [[job.pk for job in found[start : start + 10]] for start in (0, 10, 20, 30)]

    assert found.count() == 35
    assert [pk for page in pages for pk in page] == ids
    assert not found[:10].is_cut


def test_many_statuses_look_at_a_bounded_newest_part_and_say_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jobsource, "LOOKED_AT", 10)
    old, few = store.add("low", 20), store.add("high", 2, delay_ms=60_000)
    new = store.add("low", 5)

    found = Job.objects.all()

    assert found.is_cut
    assert found.count() == len(found) == 10
    assert {job.pk for job in found} >= {*few, *new}
    assert not {job.pk for job in found} & set(old[:5])
    assert Job.objects.get(pk=old[0]).pk == old[0]


def test_values(jobs: dict[str, list[str]]):
    by_queue = Job.objects.order_by("queue")

    assert list(by_queue.values_list("queue", flat=True).distinct()) == [
        "default",
        "high",
        "low",
    ]
    assert by_queue.values_list("queue", "status")[5] == ("high", "failed")
    assert by_queue.values("queue")[6] == {"queue": "low"}
    assert by_queue.values_list("queue", named=True)[6].queue == "low"
    assert by_queue.values("queue").distinct().count() == 3


def test_aggregates_that_the_admin_uses(jobs: dict[str, list[str]]):
    found = Job.objects.aggregate(
        Max("run"),
        failed=Count("pk", filter=Q(status="failed")),
        none=Min("expires_at"),
    )

    assert found == {"run__max": 1, "failed": 1, "none": None}


def test_by_primary_key(jobs: dict[str, list[str]]):
    wanted = jobs["pending"][:2]

    assert Job.objects.in_bulk(wanted).keys() == set(wanted)
    assert Job.objects.contains(Job.objects.get(pk=wanted[0]))
    assert not Job.objects.filter(pk="f" * 28).exists()
    assert list(Job.objects.none()) == []
    with pytest.raises(Job.DoesNotExist):
        Job.objects.get(pk="f" * 28)


@pytest.mark.parametrize(
    "lookup", ["queue__regex", "enqueued_at__year", "queue__search", "queue__length"]
)
def test_what_cannot_be_looked_up_is_refused_by_filter(
    redisjobs: dict[str, Any], lookup: str
):
    with pytest.raises((NotSupportedError, FieldError)):
        Job.objects.filter(**{lookup: "1"})


def test_other_columns_are_refused_as_values(redisjobs: dict[str, Any]):
    with pytest.raises(NotSupportedError, match="values only"):
        Job.objects.filter(queue=F("function"))


def test_order_by_chance_is_refused(redisjobs: dict[str, Any]):
    with pytest.raises(NotSupportedError, match="sorted"):
        Job.objects.order_by("?")


@pytest.mark.parametrize(
    "write",
    [
        lambda: Job.objects.all().delete(),
        lambda: Job.objects.update(queue="x"),
        lambda: Job.objects.create(pk="1"),
        lambda: Job(pk="1").save(),
        lambda: Job(pk="1").delete(),
        lambda: Job.objects.annotate(n=Count("pk")),
        lambda: Job.objects.all() | Job.objects.all(),
        lambda: Job.objects.union(Job.objects.all()),
        lambda: Job.objects.dates("enqueued_at", "day"),
    ],
)
def test_nothing_is_written_or_joined(redisjobs: dict[str, Any], write: Any):
    with pytest.raises(NotSupportedError, match=r"Redis|get_job"):
        write()


@pytest.mark.usefixtures("db", "jobs")
def test_a_dump_of_the_database_has_nothing_of_redis_and_can_be_loaded(tmp_path: Path):
    User.objects.create_user("ada")
    dump = tmp_path / "dump.json"

    call_command("dumpdata", output=str(dump))

    found = {row["model"] for row in json.loads(dump.read_text())}
    assert "auth.user" in found
    assert not {name for name in found if name.startswith("redisjobs.")}
    call_command("loaddata", str(dump), verbosity=0)


@pytest.mark.django_db
def test_a_dump_of_the_database_needs_no_redis(redisjobs: dict[str, Any]):
    redisjobs["URL"] = "redis://127.0.0.1:1/0"

    call_command("dumpdata", "redisjobs", stdout=StringIO())


def test_queues_come_in_the_order_of_the_settings_with_their_numbers(
    store: Store, jobs: dict[str, list[str]]
):
    store.pause("low", reason="stocktaking", by="ada", for_ms=60_000)
    store.add("forgotten")

    high, default, low, other = Queue.objects.all()

    assert [q.name for q in (high, default, low, other)] == [
        "high",
        "default",
        "low",
        "forgotten",
    ]
    assert (high.failed, default.pending, default.scheduled, low.succeeded) == (
        1,
        3,
        2,
        1,
    )
    assert (low.paused, low.pause_reason, low.paused_by) == (True, "stocktaking", "ada")
    assert low.paused_until > timezone.now()
    assert default.oldest_seconds >= 0
    assert Queue.objects.filter(paused=True).get().name == "low"
    assert Queue.objects.order_by("-pending").first() == default


def test_workers_and_what_they_hold(store: Store):
    ids = store.add("low", 2)
    worker = store.worker("low", name="here-1")
    worker.claim(2)

    row = Worker.objects.get()

    assert (row.pk, row.host, row.pid, row.held) == ("here-1", "here", 1, 2)
    assert set(row.record.held) == set(ids)
    assert row.lease_ends_at > timezone.now()


def test_a_body_that_nobody_can_read_is_a_row_all_the_same(store: Store):
    (job_id,) = store.add("low", body="rubbish")

    assert Job.objects.get(pk=job_id).function == ""


def test_times_are_naive_without_use_tz(store: Store, settings: Any):
    settings.USE_TZ = False
    (job_id,) = store.add("low")

    assert Job.objects.get(pk=job_id).enqueued_at.tzinfo is None
