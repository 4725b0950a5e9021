"""A client that calls scripts by the shortest way.

Most of what a short call costs in Python is redis-py's accounting: pools, telemetry,
retries that are switched off here. An ``EVALSHA`` needs none of it, and every job passes
through at least two. All else is redis-py's as it is.
"""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from typing import Any

import redis

from django_redisjobs.core.wire import send_on

from .leaving import is_stale
from .pools import UNLIMITED


class DirectClient(redis.Redis):
    """Keeps connections of its own for ``EVALSHA``, made as its pool makes them.

    Safe in threads and over fork.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle: list[Any] = []
        self._pid = os.getpid()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        # A client of a single connection has a lock round it.
        if args[0] != "EVALSHA" or self.connection:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        connection = self._take()
        try:
            send_on(connection, args)
            return connection.read_response()
        except redis.ResponseError:
            # An answer like any other: nothing more comes.
            raise
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._idle.append(connection)

    def close(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.disconnect()
        super().close()

    def _take(self) -> Any:
        """A connection that is open and in step."""
        if self._pid != os.getpid():
            # The parent still uses those.
            self._idle, self._pid = [], os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.connection_pool.make_connection()
        try:
            if is_stale(connection) or not _is_quiet(connection):
                connection.connect()
                if not _is_in_step(connection):
                    connection.disconnect()
                    connection.connect()
        except BaseException:
            # Interrupted half-way through logging in, it may be open all the same.
            connection.disconnect()
            self._idle.append(connection)
            raise
        return connection


def _is_quiet(connection: Any) -> bool:
    """Whether it is open and nothing has come on it since the last answer.

    What redis-py does to find out takes longer: it tries to read, and is refused.
    """
    sock = getattr(connection, "_sock", None)
    # Windows has no poll. Of a socket that somebody closed no descriptor is left.
    if sock is None or sock.fileno() < 0 or not hasattr(select, "poll"):
        return False
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return not poller.poll(0)


def _is_in_step(connection: Any) -> bool:
    """Whether the next answer is that to the next command: the server has not closed
    the connection, and left no answer behind.
    """
    try:
        return not connection.can_read()
    except (redis.RedisError, OSError, ValueError):
        # ValueError: its socket was closed in this process, past redis-py.
        return False


def open_direct(arguments: Mapping[str, Any]) -> redis.Redis:
    """A client for the server of these pool arguments, direct where that is possible.

    A pool that counts its connections, or has them log in anew, has to see each time
    that one is taken and given back.
    """
    counted = arguments["max_connections"] < UNLIMITED
    watched = counted or "credential_provider" in arguments
    client_class = redis.Redis if watched else DirectClient
    return client_class.from_pool(redis.ConnectionPool(**arguments))
