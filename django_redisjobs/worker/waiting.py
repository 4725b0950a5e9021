"""Sleeping on Redis until there is work, a bell rings, or a time has come.

Redis 5 blocks for whole seconds only, of which 0 means for ever. So BLPOP gets a
whole number of them, the wait itself happens on the socket with the exact time,
and who has to leave early has the server end the block. No BLPOP is ever left
pending: a wake-up token that it took meanwhile is heard.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import redis

from django_redisjobs import connections
from django_redisjobs.connections import (
    ClusterClient,
    PrimaryPool,
    is_moved,
    is_stale,
)
from django_redisjobs.core.flights import POOL_ARGUMENTS, Depart, Flight, Follower
from django_redisjobs.core.scripts import Command, word

from .bells import poll, poll_exactly

# Nobody is late for that: whatever is to be heard ends the sleep.
LONGEST_SECONDS: Final = 15.0
# Shorter where sentinels may name another server: this one would not say so.
_WATCHED_SECONDS: Final = 5.0
# The server's own timeout comes a little late; do not leave just before it.
_SERVER_LATE_SECONDS: Final = 0.25
# How soon to ask again for the end of a block that the server does not know yet: each time
# after twice as long, for a second in all. What has not arrived by then is given up.
_AGAIN_SECONDS: Final = tuple(0.001 * 2**power for power in range(10))
# So long the last answer to a block may be on its way: a packet is sent again after one
# second, and after two more.
_ANSWER_SECONDS: Final = 4.0


Errand = Callable[[Depart], None]


class Waiter(Protocol):
    """Blocks on lists of wake-up tokens, or of messages."""

    def wait(
        self,
        keys: Sequence[str],
        seconds: float,
        bells: Sequence[int],
        errand: Errand | None = None,
    ) -> tuple[str, str] | None:
        """Sleep at most so long (and at most LONGEST_SECONDS). A whole number of seconds
        is left to the server to end, which may be a tenth of one late.

        Ends early when one of the ``bells`` (descriptors) can be read. Gives the
        key and the entry that was popped, if any. redis-py's errors pass through.

        ``errand``, where commands can be sent behind the block, is called with what
        sends one: it runs when the block is over, however that ends, and may land
        after this has returned.
        """
        ...

    def close(self) -> None: ...


def make_waiter(client: redis.Redis, blocking_client: redis.Redis) -> Waiter:
    """The exact waiter where there are sockets, else one that looks every second.

    ``client``: for short calls, while the other one blocks.
    """
    if isinstance(client, ClusterClient) and isinstance(blocking_client, ClusterClient):
        return ClusterWaiter(client, blocking_client)
    if connections.is_within_process():
        return PatientWaiter(blocking_client)
    return SocketWaiter(client, blocking_client)


class SocketWaiter:
    """Has a connection of its own."""

    def __init__(self, client: redis.Redis, blocking_client: redis.Redis) -> None:
        self._client = client
        self._pool = blocking_client.connection_pool
        self._connection: Any = None
        self._connection_id = 0
        self._follower: Follower | None = None

    def wait(
        self,
        keys: Sequence[str],
        seconds: float,
        bells: Sequence[int],
        errand: Errand | None = None,
    ) -> tuple[str, str] | None:
        if isinstance(self._pool, PrimaryPool):
            seconds = min(seconds, _WATCHED_SECONDS)
        whole, patience = _patience(seconds)
        try:
            descriptor = self.begin(keys, whole)
            if errand is not None:
                errand(self._send_behind)
            if descriptor not in poll_exactly([descriptor, *bells], patience):
                self.unblock(descriptor)
            return self.finish()
        except BaseException:
            # What was asked may still be answered: that must reach nobody.
            self.close()
            raise
        finally:
            if self._follower is not None:
                self._follower.is_behind = False
                self._follower = None

    def _send_behind(self, command: Command) -> Flight:
        self._follower = Follower(self._client, command, self._connection)
        return self._follower

    def finish(self) -> tuple[str, str] | None:
        """Read the answer to what ``begin`` asked."""
        return _pair(self._connection.read_response())

    def unblock(self, descriptor: int) -> None:
        """Have the server answer now.

        Two connections race: it may read this before it reads the BLPOP, and then
        finds nothing to end. So say it until it has ended one, or has answered.
        """
        client: Any = self._client
        for seconds in _AGAIN_SECONDS:
            if client.execute_command("CLIENT", "UNBLOCK", self._connection_id):
                if poll([descriptor], _ANSWER_SECONDS):
                    return
                # Half-open, it would be read for as long as a block may take.
                raise redis.TimeoutError("A connection that was idle has gone silent.")
            if poll([descriptor], seconds):
                return
            if not self._is_current():
                break
        raise redis.ConnectionError("The server does not know the blocked connection.")

    def _is_current(self) -> bool:
        """Whether this is the server that others talk to: sentinels may name a new
        one while the old one still answers, and one that became a replica was left.
        """
        if isinstance(self._pool, PrimaryPool):
            return self._pool.is_current(self._connection)
        return not is_stale(self._connection)

    def _is_usable(self) -> bool:
        # Whoever landed behind a block may have found the connection closed.
        return self._connection._sock is not None and self._is_current()  # noqa: SLF001

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                self._connection.disconnect()
            # There may be few of them: what was taken goes back.
            self._pool.release(self._connection)
            self._connection = None

    def begin(self, keys: Sequence[str], whole: int) -> int:
        """Ask for the first entry of these lists; gives what to watch for it."""
        if self._connection is not None and not self._is_usable():
            self.close()
        if self._connection is None:
            self._connection = self._pool.get_connection(*POOL_ARGUMENTS)
            self._connection.send_command("CLIENT", "ID")
            self._connection_id = int(self._connection.read_response())
        self._connection.send_command("BLPOP", *keys, whole)
        descriptor: int = self._connection._sock.fileno()  # noqa: SLF001 - no public way
        return descriptor


class ClusterWaiter:
    """Waits on several nodes at once: a worker may serve groups of many slots.

    Has a connection to the node of each slot; what two of them bring at a time is
    handed out one by one.
    """

    def __init__(self, client: ClusterClient, blocking_client: ClusterClient) -> None:
        self._client = client
        self._blocking_client = blocking_client
        self._lanes: dict[str, SocketWaiter] = {}
        self._heard: deque[tuple[str, str]] = deque()

    def wait(
        self,
        keys: Sequence[str],
        seconds: float,
        bells: Sequence[int],
        errand: Errand | None = None,
    ) -> tuple[str, str] | None:
        try:
            if not self._heard:
                self._listen(keys, seconds, bells)
        except BaseException as error:
            self.close()
            # Another node may serve the slot by now; the next call finds out.
            self._client.forget_slots()
            self._blocking_client.forget_slots()
            if not is_moved(error):
                raise
        return self._heard.popleft() if self._heard else None

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()

    def _listen(
        self, keys: Sequence[str], seconds: float, bells: Sequence[int]
    ) -> None:
        whole, patience = _patience(seconds)
        begun = {
            self._lane(tag, members[0]).begin(members, whole): self._lanes[tag]
            for tag, members in _by_tag(keys).items()
        }
        ready = poll_exactly([*begun, *bells], patience)
        for descriptor, lane in begun.items():
            if descriptor not in ready:
                lane.unblock(descriptor)
            if (pair := lane.finish()) is not None:
                self._heard.append(pair)

    def _lane(self, tag: str, key: str) -> SocketWaiter:
        if tag not in self._lanes:
            self._lanes[tag] = SocketWaiter(
                self._client.node_of(key), self._blocking_client.node_of(key)
            )
        return self._lanes[tag]


def _by_tag(keys: Sequence[str]) -> dict[str, list[str]]:
    """The keys by group: those of one group are in one slot."""
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(key.partition("}")[0], []).append(key)
    return found


def _patience(seconds: float) -> tuple[int, float]:
    """For how long the server is to block, and when to end that."""
    seconds = min(seconds, LONGEST_SECONDS)
    whole = max(1, math.ceil(seconds))
    return whole, whole + _SERVER_LATE_SECONDS if whole == seconds else seconds


class PatientWaiter:
    """For clients without a socket (a server within this process)."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def wait(
        self,
        keys: Sequence[str],
        seconds: float,
        bells: Sequence[int],
        errand: Errand | None = None,
    ) -> tuple[str, str] | None:
        if poll(list(bells), 0):
            return None
        if seconds >= 1:
            reply: Any = self._client.blpop(list(keys), timeout=1)
            return _pair(reply)
        poll_exactly(list(bells), seconds)
        return None

    def close(self) -> None:
        """Nothing stays open."""


def _pair(reply: Any) -> tuple[str, str] | None:
    if reply is None:
        return None
    key, entry = reply
    return word(key), word(entry)
