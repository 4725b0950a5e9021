"""Connections that leave a server which has become a replica.

Behind one address (a virtual IP, a managed service, a proxy) another server may take over.
The old one leaves its connections open and refuses whatever writes, for ever; only a new
connection reaches the new primary. So the first refusal makes all connections of this
process stale that are as old. Each is closed when it is taken next, not before: there may be
answers on it that somebody still reads. (redis-py's pub/sub takes its own before each read, so
it subscribes anew.)

As long as the address leads to a replica all the same, each refusal would have everybody connect
anew, until there are no ports left. So a process leaves at most every ``AGAIN_SECONDS``, and finds
the new primary that much later at worst.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from time import monotonic
from typing import Any, Final

import redis

from django_redisjobs.core.refusals import is_of_replica

from .pools import Dialect

AGAIN_SECONDS: Final = 0.1


class _Leaving:
    # How often this process has left a server: it has one address.
    _departures = 0
    # When it may do so again (monotonic).
    again_at = 0.0
    # How often it had when this one was opened.
    _since = 0

    @property
    def is_stale(self) -> bool:
        return self._since != _Leaving._departures

    def _open(self) -> None:
        self._since = _Leaving._departures

    def _hear(self, error: redis.ResponseError) -> None:
        # On a stale one that is no news: others may have connected anew by now.
        if self.is_stale or not is_of_replica(error):
            return
        now = monotonic()
        if now >= _Leaving.again_at:
            _Leaving.again_at = now + AGAIN_SECONDS
            _Leaving._departures += 1


# Whoever takes a connection from a pool has it connect, if need be; ``_connect`` is the
# one step that every redis-py takes for each new socket.
class _SyncLeaving(_Leaving):
    def connect(self) -> None:
        if self.is_stale:
            self.disconnect()  # type: ignore[attr-defined]
        super().connect()  # type: ignore[misc]

    def _connect(self) -> Any:
        # Before it is open: a refusal that comes meanwhile may be of the same server.
        self._open()
        return super()._connect()  # type: ignore[misc]

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except redis.ResponseError as error:
            self._hear(error)
            raise


class _AsyncLeaving(_Leaving):
    async def connect(self) -> None:
        if self.is_stale:
            await self.disconnect()  # type: ignore[attr-defined]
        await super().connect()  # type: ignore[misc]

    async def _connect(self) -> Any:
        self._open()
        return await super()._connect()  # type: ignore[misc]

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]
        except redis.ResponseError as error:
            self._hear(error)
            raise


def leaving(arguments: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """These pool arguments, with connections that leave."""
    chosen = arguments.get("connection_class", dialect.tcp_class)
    mixin = _AsyncLeaving if dialect.is_async else _SyncLeaving
    return {**arguments, "connection_class": _mixed(mixin, chosen)}


def is_stale(connection: Any) -> bool:
    """Whether it leads to a server that was left. Those to a Cluster's nodes, and to what
    sentinels name, are followed otherwise.
    """
    return getattr(connection, "is_stale", False)


def forget_departure() -> None:
    """The next connections may be to another server, which may be left at once."""
    _Leaving.again_at = 0.0


@cache
def _mixed(mixin: type, connection_class: type) -> type:
    return type(connection_class.__name__, (mixin, connection_class), {})
