"""A group of its own for each test, and what checks it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from django_redisjobs.core.keys import GroupKeys

from .places import Places, places
from .store import Store


@pytest.fixture
def keys(prefix: str) -> GroupKeys:
    return GroupKeys(prefix)


@pytest.fixture
def store(client: redis.Redis, keys: GroupKeys) -> Store:
    return Store(client, keys)


@pytest.fixture
def look(client: redis.Redis, keys: GroupKeys) -> Callable[[], Places]:
    """Read the whole group, assert that it is consistent, say where each job is."""

    def now() -> Places:
        return places(client, keys)

    return now
