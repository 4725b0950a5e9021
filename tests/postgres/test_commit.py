"""What a transaction that PostgreSQL really commits or rolls back enqueues."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Group
from django.db import IntegrityError, connections, transaction

from django_redisjobs import JobStatus, get_queue
from tests.postgres.jobs import note

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.usefixtures("redisjobs"),
]


def pending() -> int:
    return get_queue("default").depth()


def calls_to_redis(client: redis.Redis) -> int:
    stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


def test_a_commit_sends_all_jobs_in_one_round_trip(client: redis.Redis) -> None:
    note.delay(0)
    before = calls_to_redis(client)

    with transaction.atomic():
        Group.objects.create(name="first")
        handles = [note.delay(number) for number in range(50)]
        with transaction.atomic():
            handles.append(note.delay(50))
        assert pending() == 1

    assert calls_to_redis(client) - before == 1
    assert pending() == 52
    assert all(handle.status() is JobStatus.PENDING for handle in handles[:3])


def test_a_rolled_back_savepoint_sends_nothing_of_it() -> None:
    with transaction.atomic():
        kept = note.delay(1)
        with pytest.raises(IntegrityError), transaction.atomic():
            Group.objects.create(name="twice")
            note.delay(2)
            Group.objects.create(name="twice")
        later = note.delay(3)

    assert pending() == 2
    assert kept.status() is later.status() is JobStatus.PENDING


def test_a_rolled_back_transaction_sends_nothing() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        note.delay(1)
        raise RuntimeError

    assert pending() == 0


def test_a_constraint_that_fails_at_commit_sends_nothing() -> None:
    """The database may refuse the commit itself: only then is the end known."""
    connection = connections["default"]
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE parent (id int PRIMARY KEY)")
        cursor.execute(
            "CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
        )
    try:
        with pytest.raises(IntegrityError), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO child VALUES (1)")
            note.delay(1)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE child, parent")

    assert pending() == 0


def test_each_database_sends_at_its_own_commit() -> None:
    with transaction.atomic():
        with transaction.atomic(using="other"):
            note.using(using_db="other").delay(1)
            note.delay(2)
            assert pending() == 0
        assert pending() == 1
    assert pending() == 2


def test_the_only_open_transaction_is_meant_also_when_it_is_not_the_default() -> None:
    with transaction.atomic(using="other"):
        note.delay(1)
        assert pending() == 0
    assert pending() == 1


def test_a_transaction_of_another_thread_holds_nothing_back() -> None:
    opened, looked = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            opened.set()
            looked.wait(10)
        connections["default"].close()

    thread = threading.Thread(target=hold)
    thread.start()
    opened.wait(10)

    note.delay(1)
    sent = pending()
    looked.set()
    thread.join()

    assert sent == 1
