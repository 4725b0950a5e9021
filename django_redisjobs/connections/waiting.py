"""Waiting for results on an event loop, by more tasks than may have connections."""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary

import redis
import redis.asyncio

from . import async_blocking_client, async_client

LOOKS_A_SECOND: Final = 500
SHORTEST_PAUSE: Final = 0.1


class AsyncWaitingClient:
    """The running event loop's client whose ``BLPOP`` of one list gives None at
    ``deadline`` (monotonic), if not before. All else is a short call.

    As many tasks as there are connections block in Redis. Who finds none has None
    after a pause, to look again: all of those together ``LOOKS_A_SECOND``.
    """

    def __init__(self, deadline: float | None) -> None:
        self._deadline = inf if deadline is None else deadline

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] != "BLPOP":
            short: Any = async_client()
            return await short.execute_command(*args, **options)
        left = self._deadline - monotonic()
        if left <= 0:
            return None
        client: Any = async_blocking_client()
        crowd = _crowds.setdefault(client, _Crowd(client))
        if crowd.blocked >= crowd.places:
            await crowd.pause(left)
            return None
        crowd.blocked += 1
        try:
            # redis-py closes the connection of a call that is cancelled.
            async with asyncio.timeout(None if left == inf else left):
                return await client.execute_command(*args, **options)
        except TimeoutError as error:
            if isinstance(error, redis.TimeoutError):
                raise
            return None
        finally:
            crowd.blocked -= 1

    def pipeline(self, transaction: bool = True) -> Any:
        return async_client().pipeline(transaction)


class _Crowd:
    """Those who wait at one client."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        # A server within the process needs no connections. Each node of a Cluster has
        # as many; it is not known here which one is asked.
        self.places: float = getattr(client.connection_pool, "places", inf)
        self.blocked = 0
        self._pausing = 0

    async def pause(self, longest: float) -> None:
        """For as long as all who pause take to look once."""
        self._pausing += 1
        try:
            seconds = max(SHORTEST_PAUSE, self._pausing / LOOKS_A_SECOND)
            await asyncio.sleep(min(longest, seconds))
        finally:
            self._pausing -= 1


_crowds: WeakKeyDictionary[redis.asyncio.Redis, _Crowd] = WeakKeyDictionary()
