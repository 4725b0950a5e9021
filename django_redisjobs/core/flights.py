"""A command whose reply is read later, so that the caller works meanwhile."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from redis.connection import ConnectionPool
from redis.exceptions import (
    AskError,
    ClusterDownError,
    NoScriptError,
    RedisError,
    TryAgainError,
)

from .refusals import is_of_replica
from .scripts import Client, Command, send
from .wire import send_on

# redis-py before 5.3 wants a command's name, later ones warn of it.
_NAMED: Final = inspect.signature(ConnectionPool.get_connection).parameters
POOL_ARGUMENTS: Final[tuple[str, ...]] = (
    ("EVALSHA",) if _NAMED["command_name"].default is inspect.Parameter.empty else ()
)


# The server does not know the script, or does not serve its keys (a MovedError is an
# AskError).
_DID_NOT_RUN: Final = (NoScriptError, AskError, TryAgainError, ClusterDownError)


class Flight:
    """One command under way. ``land`` or ``abandon`` it, once.

    A client without a pool of its own connections is asked at once: then it only looks
    like one. redis-py's errors pass through on landing, also of what could not be sent.
    """

    __slots__ = (
        "_client",
        "_command",
        "_connection",
        "_error",
        "_pool",
        "_reply",
        "is_behind",
    )

    def __init__(self, client: Client, command: Command) -> None:
        self.is_behind = False
        self._client = client
        self._command = command
        self._reply: Any = None
        self._connection: Any = None
        self._error: Exception | None = None
        try:
            self._depart()
        except (RedisError, OSError) as error:
            self.abandon()
            self._error = error
        except BaseException:
            self.abandon()
            raise

    def _depart(self) -> None:
        # That of a Cluster names the client of the node that serves the keys.
        client_for = getattr(self._client, "client_for", None)
        client = client_for(self._command) if client_for else self._client
        pool = getattr(client, "connection_pool", None)
        if isinstance(pool, ConnectionPool):
            self._pool = pool
            self._connection = pool.get_connection(*POOL_ARGUMENTS)
            send_on(self._connection, self._command)
        else:
            self._reply = self._ask()

    def _ask(self) -> Any:
        (reply,) = send(self._client, [self._command])
        return reply

    def land(self) -> Any:
        """The reply; waits for it."""
        if self._error is not None:
            raise self._error
        if self._connection is None:
            return self._reply
        try:
            reply = self._connection.read_response()
        except BaseException as error:
            if not isinstance(error, _DID_NOT_RUN) and not is_of_replica(error):
                self.abandon()
                raise
            self._release()
            return self._ask()
        self._release()
        return reply

    def abandon(self) -> None:
        """Never read the reply: the connection that would bring it is closed."""
        if self._connection is not None:
            self._connection.disconnect()
            self._release()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)


class Follower(Flight):
    """A command behind another one that blocks: the server runs it when that is over.

    On somebody else's connection, who reads the first reply before this one lands, and
    says when: as long as it ``is_behind``, nobody may land it. What cannot be sent is an
    error at once.
    """

    __slots__ = ()

    def __init__(self, client: Client, command: Command, connection: Any) -> None:
        self.is_behind = True
        self._client = client
        self._command = command
        self._reply = self._error = None
        self._connection = connection
        # A PING here would be answered by what the block brings.
        send_on(connection, command, check_health=False)

    def _release(self) -> None:
        self._connection = None


Depart = Callable[[Command], Flight]
"""Sends a command, somehow."""
