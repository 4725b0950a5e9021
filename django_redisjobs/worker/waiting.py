"""Sleeping on Redis until there is work, a bell rings, or a time has come.

Redis 5 blocks for whole seconds only, of which 0 means for ever. So BLPOP gets a
whole number of them, the wait itself happens on the socket with the exact time,
and who has to leave early has the server end the block. No BLPOP is ever left
pending: a wake-up token that it took meanwhile is heard.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any, Final, Protocol

import redis

from .bells import poll

LONGEST_SECONDS: Final = 5.0
# The server's own timeout comes a little late; do not leave just before it.
_SERVER_LATE_SECONDS: Final = 0.25
_AGAIN_SECONDS: Final = 0.001
_MOST_UNBLOCKS: Final = 1_000


class Waiter(Protocol):
    """Blocks on lists of wake-up tokens, or of messages."""

    def wait(
        self, keys: Sequence[str], seconds: float, bells: Sequence[int]
    ) -> tuple[str, str] | None:
        """Sleep at most so long (and at most LONGEST_SECONDS).

        Ends early when one of the ``bells`` (descriptors) can be read. Gives the
        key and the entry that was popped, if any. redis-py's errors pass through.
        """
        ...

    def close(self) -> None: ...


def make_waiter(client: redis.Redis, blocking_client: redis.Redis) -> Waiter:
    """The exact waiter where there are sockets, else one that looks every second.

    ``client``: for short calls, while the other one blocks.
    """
    if hasattr(blocking_client.connection_pool.connection_class, "send_command"):
        return SocketWaiter(client, blocking_client)
    return PatientWaiter(blocking_client)


class SocketWaiter:
    """Has a connection of its own."""

    def __init__(self, client: redis.Redis, blocking_client: redis.Redis) -> None:
        self._client = client
        self._pool = blocking_client.connection_pool
        self._connection: Any = None
        self._connection_id = 0

    def wait(
        self, keys: Sequence[str], seconds: float, bells: Sequence[int]
    ) -> tuple[str, str] | None:
        seconds = min(seconds, LONGEST_SECONDS)
        whole = max(1, math.ceil(seconds))
        try:
            descriptor = self._begin(keys, whole)
            patience = whole + _SERVER_LATE_SECONDS if whole == seconds else seconds
            if descriptor not in poll([descriptor, *bells], patience):
                self._unblock(descriptor)
            return _pair(self._connection.read_response())
        except BaseException:
            # What was asked may still be answered: that must reach nobody.
            self.close()
            raise

    def _unblock(self, descriptor: int) -> None:
        """Have the server answer now.

        Two connections race: it may read this before it reads the BLPOP, and then
        finds nothing to end. So say it until it has ended one, or has answered.
        """
        client: Any = self._client
        for _ in range(_MOST_UNBLOCKS):
            if client.execute_command("CLIENT", "UNBLOCK", self._connection_id):
                return
            if poll([descriptor], _AGAIN_SECONDS):
                return
        raise redis.ConnectionError("The server does not know the blocked connection.")

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                self._connection.disconnect()
            self._connection = None

    def _begin(self, keys: Sequence[str], whole: int) -> int:
        if self._connection is None:
            self._connection = self._pool.make_connection()
            self._connection.connect()
            self._connection.send_command("CLIENT", "ID")
            self._connection_id = int(self._connection.read_response())
        self._connection.send_command("BLPOP", *keys, whole)
        descriptor: int = self._connection._sock.fileno()  # noqa: SLF001 - no public way
        return descriptor


class PatientWaiter:
    """For clients without a socket (a server within this process)."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def wait(
        self, keys: Sequence[str], seconds: float, bells: Sequence[int]
    ) -> tuple[str, str] | None:
        if poll(list(bells), 0):
            return None
        if seconds >= 1:
            reply: Any = self._client.blpop(list(keys), timeout=1)
            return _pair(reply)
        poll(list(bells), seconds)
        return None

    def close(self) -> None:
        """Nothing stays open."""


def _pair(reply: Any) -> tuple[str, str] | None:
    if reply is None:
        return None
    key, entry = reply
    return _text(key), _text(entry)


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
