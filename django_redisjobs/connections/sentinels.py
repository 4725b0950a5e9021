"""Pools of connections to the primary that sentinels name.

redis-py asks the sentinels whenever it connects. That is late where both servers
live: the old primary takes writes for about ten seconds more before it is made a
replica, and then loses them. So here they are asked every second, too.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

import redis
import redis.asyncio.sentinel
import redis.sentinel

ASK_EVERY_SECONDS: Final = 1.0
# Sentinels that do not answer cost a timeout each time.
AFTER_SILENCE_SECONDS: Final = 10.0


class PrimaryPool(redis.sentinel.SentinelConnectionPool):
    """Its connections go to the primary; those to a former one are closed."""

    _ask_at = 0.0

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        self._ask()
        return super().get_connection(*args, **kwargs)

    def is_current(self, connection: Any) -> bool:
        """Whether a connection of this pool still leads to the primary."""
        self._ask()
        return bool((connection.host, connection.port) == self.master_address)

    def _ask(self) -> None:
        now = monotonic()
        if now < self._ask_at:
            return
        self._ask_at = now + ASK_EVERY_SECONDS
        try:
            # Closes the idle connections where the answer is a new one.
            self.get_master_address()  # type: ignore[no-untyped-call]
        except redis.RedisError:
            self._ask_at = now + AFTER_SILENCE_SECONDS


class AsyncPrimaryPool(redis.asyncio.sentinel.SentinelConnectionPool):
    """The same for an event loop."""

    _ask_at = 0.0

    async def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        now = monotonic()
        if now >= self._ask_at:
            self._ask_at = now + ASK_EVERY_SECONDS
            try:
                await self.get_master_address()  # type: ignore[no-untyped-call]
            except redis.RedisError:
                self._ask_at = now + AFTER_SILENCE_SECONDS
        return await super().get_connection(*args, **kwargs)  # type: ignore[no-untyped-call]
