"""A server within this process, for tests: it runs the same scripts, and is gone
with the process. All clients, of threads and of event loops, share it.
"""

from __future__ import annotations

import importlib
import os
from functools import cache
from typing import Any

import redis
import redis.asyncio

from django_redisjobs.exceptions import ConfigurationError


@cache
def _fakeredis() -> Any:
    # Not at the top: it comes with an extra, for tests.
    try:
        importlib.import_module("lupa")
        return importlib.import_module("fakeredis")
    except ImportError as error:
        raise ConfigurationError(
            "memory:// needs fakeredis with Lua. Install the extra: "
            "pip install 'django-redisjobs[testing]'."
        ) from error


_servers: dict[str, Any] = {}


def _server() -> Any:
    """The one of this process, also for threads that are the first at once."""
    made = _servers.get("made")
    if made is None:
        made = _servers.setdefault("made", _fakeredis().FakeServer(version=7))
    return made


def open_client() -> redis.Redis:
    """Raises ConfigurationError where fakeredis is not installed."""
    client: redis.Redis = _fakeredis().FakeRedis(server=_server(), protocol=2)
    return client


def open_async_client() -> redis.asyncio.Redis:
    client: redis.asyncio.Redis = _fakeredis().FakeAsyncRedis(
        server=_server(), protocol=2
    )
    return client


def empty() -> None:
    """Forget everything that was stored."""
    _servers.clear()


# What forks keeps its own; and another thread may have been in the midst of it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=empty)
