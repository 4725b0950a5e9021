"""Pools of an event loop whose tasks share a number of connections.

Thousands of tasks may call at once. redis-py would open a connection for each, until the
process has no descriptors left, and keep them all; or refuse whoever is one too many.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import redis
import redis.asyncio

from .sentinels import AsyncPrimaryPool

MOST_CONNECTIONS: Final = 50
"""Of an event loop to a server, where ``max_connections`` says nothing else."""


class NoneFree(redis.ConnectionError):
    """All connections were in use for as long as an answer may take. Nothing was sent."""


class _Shared:
    """Whoever finds all connections in use waits for one, in the order of coming."""

    def __init__(self, *args: Any, places: int, patience: float | None, **more: Any):
        super().__init__(*args, **more)
        self.places = places
        self._patience = patience
        self._free = asyncio.Semaphore(places)
        self._lent: set[Any] = set()

    async def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise NoneFree(
                f"all {self.places} connections of this event loop were in use for "
                f"{self._patience:g} s"
            ) from None
        try:
            connection = await super().get_connection(*args, **kwargs)  # type: ignore[misc]
        except BaseException:
            # redis-py gives back by itself what it cannot connect.
            self._free.release()
            raise
        self._lent.add(connection)
        return connection

    async def release(self, connection: Any) -> None:
        try:
            await super().release(connection)  # type: ignore[misc]
        finally:
            if connection in self._lent:
                self._lent.remove(connection)
                self._free.release()


class SharedPool(_Shared, redis.asyncio.ConnectionPool):
    """Of one server."""


class SharedPrimaryPool(_Shared, AsyncPrimaryPool):
    """Of the primary that sentinels name."""
