"""The outbox on PostgreSQL: all that holds on SQLite, kills too, and relays that race."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.db import connection, connections, transaction

from django_redisjobs import get_queue
from django_redisjobs import outbox as outboxes
from django_redisjobs.core.records import NewJob, new_id
from django_redisjobs.models import OutboxEntry
from django_redisjobs.outbox import _ago
from django_redisjobs.worker.relay import relay
from tests.integration.outbox.conftest import outbox
from tests.integration.outbox.site import Site
from tests.integration.outbox.test_kills import *  # noqa: F403
from tests.integration.outbox.test_outbox import *  # noqa: F403

__all__ = ["outbox"]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.usefixtures("outbox"),
]


class Postgres:
    an_hour_ago = "now() - interval '1 hour'"

    def __init__(self) -> None:
        told = connection.settings_dict
        self.settings = {
            name: told[name] for name in ("ENGINE", "NAME", "HOST", "PORT", "USER")
        }

    def run(self, sql: str) -> list[Any]:
        told = self.settings
        with psycopg.connect(
            host=told["HOST"],
            port=told["PORT"],
            user=told["USER"],
            dbname=told["NAME"],
        ) as database:
            cursor = database.execute(sql)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def site(outbox: dict[str, Any], client: redis.Redis, tmp_path: Path) -> Iterator[Site]:
    database = Postgres()
    database.run("CREATE TABLE made (number integer)")
    made = Site(database, client, outbox, tmp_path / "log")
    yield made
    made.stop_workers()
    database.run("DROP TABLE made")


def test_racing_relays_send_each_row_once() -> None:
    jobs = [NewJob(new_id(), "default", "[]") for _ in range(900)]
    with transaction.atomic():
        outboxes.store(jobs, "default")
    OutboxEntry.objects.update(created_at=_ago(3600))
    together = threading.Barrier(4)
    taken: list[int] = []

    def run() -> None:
        together.wait(20)
        try:
            # Where all others were quicker there may be none to take, and still some.
            while OutboxEntry.objects.exists():
                taken.append(relay("default"))
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sum(taken) == 900
    assert get_queue().depth() == 900


def test_senders_and_relays_that_race_send_each_job_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without any grace a relay takes rows while their sender is about to send."""
    monkeypatch.setattr(outboxes, "GRACE_SECONDS", -3600.0)
    over = threading.Event()
    ids: Counter[str] = Counter()

    def send() -> None:
        try:
            for number in range(100):
                with transaction.atomic():
                    ids[note.delay(number).id] += 1  # noqa: F405
        finally:
            connections["default"].close()

    def run() -> None:
        try:
            while not over.is_set():
                relay("default")
        finally:
            connections["default"].close()

    relays = [threading.Thread(target=run) for _ in range(2)]
    senders = [threading.Thread(target=send) for _ in range(2)]
    for thread in [*relays, *senders]:
        thread.start()
    for thread in senders:
        thread.join(60)
    over.set()
    for thread in relays:
        thread.join(60)

    assert not OutboxEntry.objects.exists()
    assert get_queue().depth() == len(ids) == 200
