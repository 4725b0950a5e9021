"""Starts PostgreSQL before Django makes its test databases in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connections

from tests.postgres.database import Database


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> Iterator[None]:
    database = Database()
    for alias in ("default", "other"):
        for told in (settings.DATABASES[alias], connections[alias].settings_dict):
            told.update(HOST=database.host, PORT=str(database.port))
    yield
    database.stop()
