"""SQLite: for threads the test's own, for processes a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection
from django.test import override_settings

from django_redisjobs.models import OutboxEntry
from tests.integration.outbox.site import Site


@pytest.fixture
def outbox(redisjobs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """REDISJOBS with the outbox on, and nothing kept of what has ended."""
    gone = ("0s", 0)
    settings = {
        **redisjobs,
        "QUEUES": {"default": {}, "plain": {"OUTBOX": False}},
        "OUTBOX": True,
        "KEEP": {"succeeded": gone},
    }
    with override_settings(REDISJOBS=settings):
        yield settings


class SqliteFile:
    an_hour_ago = "datetime('now', '-1 hour')"

    def __init__(self, path: Path, create: str) -> None:
        self.settings = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(path),
            "OPTIONS": {"timeout": 30},
        }
        self._path = path
        self.run(create)
        self.run("CREATE TABLE made (number integer)")

    def run(self, sql: str) -> list[Any]:
        database = sqlite3.connect(self._path, timeout=30)
        try:
            with database:
                return database.execute(sql).fetchall()
        finally:
            database.close()


@pytest.fixture
def site(outbox: dict[str, Any], client: redis.Redis, tmp_path: Path) -> Iterator[Site]:
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        editor.create_model(OutboxEntry)
    statements = [sql for sql in editor.collected_sql if sql.startswith("CREATE TABLE")]
    database = SqliteFile(tmp_path / "db.sqlite3", statements[0])
    made = Site(database, client, outbox, tmp_path / "log")
    yield made
    made.stop_workers()
