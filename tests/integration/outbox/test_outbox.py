"""Jobs that a committed transaction has made get to Redis, and run once."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.db import connections, transaction
from django.db.models import F
from django.test import RequestFactory, override_settings

from django_redisjobs import Worker, checks, exceptions, get_queue, job, views
from django_redisjobs import outbox as outboxes
from django_redisjobs.conf import keys_for
from django_redisjobs.core.records import NewJob, new_id
from django_redisjobs.models import OutboxEntry
from django_redisjobs.outbox import _ago
from django_redisjobs.signals import job_enqueued
from django_redisjobs.worker import relay as relays
from django_redisjobs.worker.relay import relay
from tests.integration.outbox.jobs import note, notes

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.usefixtures("outbox"),
]
NOWHERE = "unix:///nonexistent/redis.sock"
TOKEN = "correct-horse-battery"


@job("plain")
def plain() -> None: ...


def rows(alias: str = "default") -> Any:
    return OutboxEntry.objects.using(alias)


def age(alias: str = "default", seconds: float = 3600) -> None:
    rows(alias).update(created_at=_ago(seconds))


def age_takings() -> None:
    rows().exclude(taken_at=None).update(taken_at=_ago(3600))


def memories(client: redis.Redis) -> int:
    pattern = keys_for("default").sent("*").replace("{", "[{]")
    return len(list(client.scan_iter(match=pattern)))


def run_all() -> None:
    Worker(["default"], processes=0, burst=True).run()


def ran(client: redis.Redis) -> list[int]:
    found: Any = client.lrange(notes(), 0, -1)
    return [int(each) for each in found]


def unreachable(redisjobs: dict[str, Any]) -> Any:
    return override_settings(REDISJOBS={**redisjobs, "URL": NOWHERE})


def test_a_commit_sends_and_leaves_nothing_behind(client: redis.Redis) -> None:
    with transaction.atomic():
        note.delay(1)
        note.delay_many([(2,), (3,)])
        assert rows().count() == 3
        assert get_queue().depth() == 0

    assert rows().count() == memories(client) == 0
    assert get_queue().depth() == 3


def test_a_rollback_leaves_nothing(client: redis.Redis) -> None:
    with transaction.atomic():
        note.delay(1)
        with pytest.raises(RuntimeError), transaction.atomic():
            note.delay(2)
            raise RuntimeError
        assert rows().count() == 1

    run_all()

    assert ran(client) == [1]


def test_queues_may_do_without(django_assert_num_queries: Any) -> None:
    with transaction.atomic(), django_assert_num_queries(0):
        plain.delay()

    assert get_queue("plain").depth() == 1


def test_outside_a_transaction_the_table_is_not_used(
    django_assert_num_queries: Any, outbox: dict[str, Any]
) -> None:
    with django_assert_num_queries(0):
        note.delay(1)
        with unreachable(outbox), pytest.raises(exceptions.EnqueueError):
            note.delay(2)


def test_redis_being_down_is_no_error_of_the_commit(
    outbox: dict[str, Any], client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="redisjobs")
    with unreachable(outbox), transaction.atomic():
        note.delay(1)
        note.delay(2)
    assert "2 jobs" in caplog.text
    assert "waits in the outbox" in caplog.text

    # Who committed may still be about to send.
    assert relay("default") == 0
    age()
    assert relay("default") == 2

    assert rows().count() == 0
    assert memories(client) == 2
    run_all()
    assert ran(client) == [1, 2]


def test_a_job_without_outbox_in_the_same_transaction_fails_loudly(
    outbox: dict[str, Any],
) -> None:
    with (
        pytest.raises(exceptions.EnqueueError, match="plain was not"),
        unreachable(outbox),
        transaction.atomic(),
    ):
        note.delay(1)
        plain.delay()

    assert rows().count() == 1


def test_a_foreign_hook_that_raises_first_costs_no_job(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        transaction.on_commit(lambda: 1 // 0)
        note.delay(1)
    age()

    assert relay("default") == 1
    assert "Sent 1 job that had stayed" in caplog.text

    run_all()
    assert ran(client) == [1]


def test_what_was_sent_and_is_long_gone_is_not_run_again(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender died before it removed the row; nobody looked for a while."""
    monkeypatch.setattr(outboxes, "remove", lambda ids, alias: False)
    with transaction.atomic():
        handle = note.delay(1)
    run_all()
    with pytest.raises(exceptions.JobNotFound):
        handle.status()
    age()

    assert relay("default") == 1

    run_all()
    assert ran(client) == [1]
    assert rows().count() == 0


def test_a_sender_that_was_stopped_before_sending_is_too_late(
    client: redis.Redis,
) -> None:
    """A relay sent; the job ran and is gone; then the sender is woken."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        transaction.on_commit(lambda: 1 // 0)
        note.delay(1)
        (hook,) = [entry[1] for entry in transaction.get_connection().run_on_commit[1:]]
    age()
    relay("default")
    run_all()

    hook()
    run_all()

    assert ran(client) == [1]


def test_a_relay_that_was_stopped_before_sending_is_too_late(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the row in hand while others send, run and forget the job."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        transaction.on_commit(lambda: 1 // 0)
        note.delay(1)
        (hook,) = [entry[1] for entry in transaction.get_connection().run_on_commit[1:]]
    age()
    in_hand = outboxes.take("default", "stopped")
    monkeypatch.setattr(outboxes, "take", lambda *_: in_hand)

    hook()
    run_all()
    relay("default")
    run_all()

    assert ran(client) == [1]


def test_a_row_is_taken_by_one_relay_and_from_a_dead_one_later() -> None:
    with transaction.atomic():
        outboxes.store([NewJob(new_id(), "default", "[]")], "default")
    age()

    assert len(outboxes.take("default", "first")) == 1
    assert outboxes.take("default", "second") == []
    age_takings()
    assert len(outboxes.take("default", "second")) == 1
    # The first one wakes up: the row is not its own any more.
    ids = list(rows().values_list("id", flat=True))
    outboxes.drop(ids, "default", "first")
    outboxes.give_back(ids, "default", "first")
    assert rows().get().taken_by == "second"


def test_what_cannot_be_relayed_is_free_again(outbox: dict[str, Any]) -> None:
    with transaction.atomic():
        outboxes.store([NewJob(new_id(), "default", "[]")], "default")
    age()
    with unreachable(outbox), pytest.raises(redis.ConnectionError):
        relay("default")

    assert relay("default") == 1


def test_rows_of_queues_that_this_build_lacks_are_left(outbox: dict[str, Any]) -> None:
    with transaction.atomic():
        outboxes.store([NewJob(new_id(), "later", "[]")], "default")
    age()

    assert relay("default") == 0
    assert rows().count() == 1


def test_groups_are_sent_each_by_itself(outbox: dict[str, Any]) -> None:
    queues = {"default": {}, "far": {"GROUP": "far"}}
    with override_settings(REDISJOBS={**outbox, "QUEUES": queues}):
        with transaction.atomic():
            outboxes.store(
                [NewJob(new_id(), queue, "[]") for queue in ("far", "default", "far")],
                "default",
            )
        age()

        assert relay("default") == 3
        assert get_queue("far").depth() == 2
        assert get_queue("default").depth() == 1


def test_the_outbox_is_in_the_database_of_the_transaction() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(using="other"):
        transaction.on_commit(lambda: 1 // 0, using="other")
        note.using(using_db="other").delay(1)
    assert rows("other").count() == 1
    assert rows().count() == 0
    age("other")

    assert outboxes.aliases() == ["default", "other"]
    assert relay("other") == 1


def test_a_worker_relays_by_itself(client: redis.Redis) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        transaction.on_commit(lambda: 1 // 0)
        note.delay(1)
    age()

    # It looks at once; what it finds may come too late for this burst.
    run_all()
    assert rows().count() == 0
    run_all()

    assert ran(client) == [1]


def test_delays_count_from_the_commit() -> None:
    kinds = {
        "soon": {"delay_ms": 600_000, "ttl_ms": 60_000},
        "over": {"delay_ms": 1_000, "ttl_ms": 60_000},
        "late": {"delay_ms": 1_000, "ttl_ms": 900_000},
        "set": {"due_ms": 1, "ttl_ms": 60_000},
        "plain": {},
    }
    jobs = [
        NewJob(f"{name}-{new_id()}", "default", "[]", **kinds[name]) for name in kinds
    ]
    with transaction.atomic():
        outboxes.store(jobs, "default")
    age(seconds=300)

    left = {job.id.partition("-")[0]: job for job in outboxes.take("default", "x")}

    def near(found: int | None, expected: int) -> bool:
        return found is not None and expected - 60_000 < found <= expected

    assert near(left["soon"].delay_ms, 300_000)
    assert left["soon"].ttl_ms == 60_000
    assert (left["over"].delay_ms, left["over"].ttl_ms) == (0, 1)
    assert left["late"].delay_ms == 0
    assert near(left["late"].ttl_ms, 601_000)
    assert left["set"].ttl_ms == 60_000
    assert left["plain"].delay_ms is left["plain"].ttl_ms is None


def test_receivers_hear_of_it_when_it_is_sent(outbox: dict[str, Any]) -> None:
    heard = []

    def receiver(sender: Any, job_id: str, **_: Any) -> None:
        heard.append((sender, job_id))

    job_enqueued.connect(receiver)
    try:
        with unreachable(outbox), transaction.atomic():
            handle = note.delay(1)
        assert not heard
        age()
        relay("default")
    finally:
        job_enqueued.disconnect(receiver)

    assert heard == [(note, handle.id)]


def test_a_missing_table_is_told_with_what_to_do() -> None:
    connection = connections["default"]
    with connection.schema_editor() as editor:
        editor.delete_model(OutboxEntry)
    try:
        with (
            pytest.raises(exceptions.EnqueueError, match="migrate redisjobs"),
            transaction.atomic(),
        ):
            note.delay(1)
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(OutboxEntry)


def test_more_rows_than_a_relay_takes_at_once(client: redis.Redis) -> None:
    jobs = [NewJob(new_id(), "default", "[]") for _ in range(outboxes.MOST_TAKEN + 5)]
    with transaction.atomic():
        outboxes.store(jobs, "default")
    rows().update(created_at=F("created_at"))
    age()

    assert relay("default") == outboxes.MOST_TAKEN
    assert relay("default") == 5
    assert get_queue().depth() == len(jobs)


def test_one_group_without_a_server_keeps_nothing_from_the_others(
    outbox: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when one node of a Cluster is down."""
    queues = {"away": {"GROUP": "away"}, "default": {}}
    with override_settings(REDISJOBS={**outbox, "QUEUES": queues}):
        # More of the one than are taken at once, and they are the older ones.
        queued = ["away"] * (outboxes.MOST_TAKEN + 1) + ["default"] * 2
        jobs = [NewJob(new_id(), queue, "[]") for queue in queued]
        outboxes.store(jobs, "default")
        age()
        perform = relays.perform
        away = keys_for("away")

        def refuse(client: Any, conversation: Any) -> Any:
            if conversation.gi_frame.f_locals["keys"] == away:
                raise redis.ConnectionError("nobody there")
            return perform(client, conversation)

        monkeypatch.setattr(relays, "perform", refuse)
        with pytest.raises(redis.ConnectionError):
            relay("default")

        assert get_queue("default").depth() == 2
        assert set(rows().values_list("queue", flat=True)) == {"away"}
        monkeypatch.undo()
        assert relay("default") == outboxes.MOST_TAKEN
        assert get_queue("away").depth() == outboxes.MOST_TAKEN


def test_stats_tell_what_waits_and_for_how_long(
    outbox: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("redisjobs", "stats")
    assert "Outbox" not in capsys.readouterr().out
    outboxes.store([NewJob(new_id(), "default", "[]") for _ in range(2)], "default")
    age(seconds=3600)

    call_command("redisjobs", "stats")
    assert "Outbox of default: 2 jobs, the oldest for 1h." in capsys.readouterr().out
    call_command("redisjobs", "stats", "--json")
    told = json.loads(capsys.readouterr().out)["outbox"]

    assert [(one["database"], one["jobs"]) for one in told] == [
        ("default", 2),
        ("other", 0),
    ]
    assert told[0]["oldest_seconds"] >= 3600
    with override_settings(REDISJOBS={**outbox, "OUTBOX": False}):
        call_command("redisjobs", "stats", "--json")
        assert "outbox" not in json.loads(capsys.readouterr().out)


def test_programs_are_told_too(outbox: dict[str, Any]) -> None:
    outboxes.store([NewJob(new_id(), "default", "[]") for _ in range(2)], "default")
    age(seconds=3600)

    told = json.loads(scraped(views.stats, outbox))["outbox"]
    metrics = scraped(views.metrics, outbox)

    assert [(one["database"], one["jobs"]) for one in told] == [
        ("default", 2),
        ("other", 0),
    ]
    assert 'redisjobs_outbox_jobs{database="default"} 2\n' in metrics
    assert 'redisjobs_outbox_oldest_seconds{database="default"} 36' in metrics
    assert 'redisjobs_outbox_oldest_seconds{database="other"} 0\n' in metrics
    assert "outbox" not in scraped(views.metrics, {**outbox, "OUTBOX": False})


def scraped(view: views.View, settings: dict[str, Any]) -> str:
    request = RequestFactory().get("/", headers={"Authorization": f"Bearer {TOKEN}"})
    with override_settings(REDISJOBS={**settings, "STATS_TOKEN": TOKEN}):
        return view(request).content.decode()


def test_missing_tables_are_told(
    outbox: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert checks.check_outbox() == []

    with connections["other"].schema_editor() as editor:
        editor.delete_model(OutboxEntry)
    try:
        (found,) = checks.check_outbox()
        call_command("redisjobs", "stats")
        metrics = scraped(views.metrics, outbox)
    finally:
        with connections["other"].schema_editor() as editor:
            editor.create_model(OutboxEntry)

    assert found.id == "redisjobs.W013"
    assert "migrate redisjobs --database other" in str(found.hint)
    assert "Outbox of other: " in capsys.readouterr().out
    assert 'outbox_jobs{database="default"}' in metrics
    assert 'outbox_jobs{database="other"}' not in metrics


def test_a_default_database_that_nobody_is_to_use(
    outbox: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django's documentation has such a one beside several others."""
    dummy = {**connections.settings["default"], "ENGINE": "django.db.backends.dummy"}
    monkeypatch.setitem(connections.settings, "default", dummy)

    assert outboxes.aliases() == ["other"]
    assert 'outbox_jobs{database="other"} 0' in scraped(views.metrics, outbox)


def test_an_outbox_without_effect_is_told(outbox: dict[str, Any]) -> None:
    assert checks.check_settings() == []
    with override_settings(REDISJOBS={**outbox, "ON_COMMIT": False}):
        (found,) = checks.check_settings()

    assert found.id == "redisjobs.W012"
    assert "ON_COMMIT is False" in found.msg


def test_signed_jobs_are_kept_and_sent_as_they_were(
    outbox: dict[str, Any], client: redis.Redis
) -> None:
    """With the key of the time at which they were made."""
    old, new = "o" * 40, "n" * 40
    before = {**outbox, "SIGNING_KEYS": [old], "URL": NOWHERE}
    with override_settings(REDISJOBS=before), transaction.atomic():
        note.delay(5)
    age()

    with override_settings(REDISJOBS={**outbox, "SIGNING_KEYS": [new, old]}):
        assert relay("default") == 1
        run_all()

    assert ran(client) == [5]
