"""Conversations with Redis on behalf of the job API, errors told in its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import redis
import redis.exceptions

from django_redisjobs import conf, connections
from django_redisjobs.connections.deadlines import DeadlineClient
from django_redisjobs.connections.waiting import AsyncWaitingClient
from django_redisjobs.core import inspection
from django_redisjobs.core.exceptions import sentence
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.refusals import said
from django_redisjobs.core.scripts import (
    Conversation,
    aperform,
    perform,
    together,
)
from django_redisjobs.exceptions import ServerUnavailable

T = TypeVar("T")

# How a server's answer begins, and what to do about it.
_ADVICE = {
    "OOM": "Its memory is full: raise maxmemory, or purge queues that nobody serves.",
    "READONLY": "It is a replica: let REDISJOBS['URL'] name the primary.",
    "MISCONF": "It cannot write to its disk and so accepts nothing: see its log.",
    "NOREPLICAS": "It has too few replicas in sync to accept writes.",
    "MASTERDOWN": "It is a replica without its primary: wait for the failover.",
    "CLUSTERDOWN": "Its cluster has slots that nobody serves.",
    "TRYAGAIN": "Its cluster is moving the keys: try again in a moment.",
    "LOADING": "It is loading its data: try again in a moment.",
    "BUSY": "It is busy with a script: try again in a moment.",
    "NOAUTH": "It wants a password: put it into REDISJOBS['URL'].",
    "WRONGPASS": "It refuses the user or the password of REDISJOBS['URL'].",
    "NOPERM": "Its ACL does not let this user do that.",
    "NONEFREE": "Await fewer calls at once, or raise OPTIONS['max_connections'].",
}


class _Later:
    """A client, made when it is used: some conversations have nothing to say."""

    def __init__(self, open_: Callable[[], Any]) -> None:
        self._open = open_

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return self._open().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True) -> Any:
        return self._open().pipeline(transaction)


_WORDS = {
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.BusyLoadingError: "LOADING",
    redis.exceptions.NoPermissionError: "NOPERM",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
    redis.exceptions.MasterDownError: "MASTERDOWN",
    redis.exceptions.TryAgainError: "TRYAGAIN",
    connections.NoneFree: "NONEFREE",
}
_REFUSED_LOGINS = {
    "Authentication required": "NOAUTH",
    # A long command is refused before anything else of it is looked at.
    "Protocol error: unauthenticated": "NOAUTH",
    "invalid username-password": "WRONGPASS",
    "invalid password": "WRONGPASS",
}


def ask(conversation: Conversation[T]) -> T:
    """Hold a short conversation.

    Raises:
        ServerUnavailable: Redis cannot be reached or does not serve now.
    """
    with explained():
        return perform(_Later(connections.client), conversation)


def ask_blocking(conversation: Conversation[T], deadline: float | None) -> T:
    """``ask`` for what waits in Redis, until ``deadline`` (monotonic) or for ever."""

    def open_() -> Any:
        client = connections.blocking_client()
        return client if deadline is None else DeadlineClient(client, deadline)

    with explained():
        return perform(_Later(open_), conversation)


async def aask(conversation: Conversation[T]) -> T:
    """``ask`` on the running event loop."""
    with explained():
        return await aperform(_Later(connections.async_client), conversation)


async def aask_blocking(conversation: Conversation[T], deadline: float | None) -> T:
    """``ask_blocking`` on the running event loop."""
    with explained():
        return await aperform(AsyncWaitingClient(deadline), conversation)


def places() -> Conversation[list[tuple[GroupKeys, list[str]]]]:
    """The queues of each group: those of the settings, then others in Redis."""
    configured = conf.groups()
    stored = yield from together([inspection.queues(keys) for keys in configured])
    return [
        (keys, list(dict.fromkeys([*names, *others])))
        for (keys, names), others in zip(configured.items(), stored, strict=True)
    ]


def explain(error: redis.RedisError) -> str:
    """Which server answered what, and what to do about it, in one sentence or two."""
    text = said(error).rstrip(".") or type(error).__name__
    word = text.partition(" ")[0]
    # redis-py strips some of the words and gives a class instead.
    for kind, name in _WORDS.items():
        if isinstance(error, kind):
            word = name
    for start, name in _REFUSED_LOGINS.items():
        if text.startswith(start):
            word = name
    default = "Is it running, and is REDISJOBS['URL'] right?"
    if isinstance(error, redis.ResponseError):
        default = "See the log of the server."
    return f"Redis at {connections.describe()}: {sentence(text)} {_ADVICE.get(word, default)}"


@contextmanager
def explained() -> Iterator[None]:
    """Errors of redis-py as ServerUnavailable."""
    try:
        yield
    except redis.RedisError as error:
        raise ServerUnavailable(explain(error)) from error
