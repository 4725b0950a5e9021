"""The only place that makes Redis clients, with timeouts that fit each use.

No client repeats a command by itself: a repeated claim would lose jobs. Whoever
calls decides what is safe to send again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.core.signals import setting_changed
from redis.asyncio.connection import parse_url as parse_async_url
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from django_redisjobs import conf
from django_redisjobs.conf.addresses import Address
from django_redisjobs.exceptions import ConfigurationError

# Seconds. A server that refuses is known within the first, one that does not
# answer within the second.
CONNECT_TIMEOUT = 5.0
CALL_TIMEOUT = 10.0
# A client for blocking calls may be asked to block this long and no longer: its
# socket gives up a good while after.
LONGEST_BLOCK = 10.0
BLOCKING_TIMEOUT = LONGEST_BLOCK + CALL_TIMEOUT


@dataclass(frozen=True, slots=True)
class _Use:
    """What a client is for. Each use has a pool of its own, so that a thousand
    waiting callers never keep an enqueue waiting.
    """

    name: str
    socket_timeout: float
    # Blocking needs its timeout; a call's may be chosen in OPTIONS or the URL.
    timeout_is_fixed: bool = False


# A loop's clients, each with the generator that closes it at the loop's end.
_OfLoop: TypeAlias = dict[_Use, tuple[redis.asyncio.Redis, AsyncGenerator[None]]]

_CALL = _Use("call", CALL_TIMEOUT)
_BLOCKING = _Use("blocking", BLOCKING_TIMEOUT, timeout_is_fixed=True)
_WORKER = _Use("worker", CALL_TIMEOUT)


class _Opened:
    """The clients of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clients: dict[_Use, redis.Redis] = {}
        self.of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop] = (
            WeakKeyDictionary()
        )


_opened = _Opened()
# Async clients of the parent, in a forked child: see _forget_in_child.
_abandoned: list[object] = []


def client() -> redis.Redis:
    """The client for short calls; safe in threads."""
    return _opened.clients.get(_CALL) or _made(_CALL)


def blocking_client() -> redis.Redis:
    """The client for commands that block, up to ``LONGEST_BLOCK`` seconds."""
    return _opened.clients.get(_BLOCKING) or _made(_BLOCKING)


def worker_client() -> redis.Redis:
    """A worker process's client for its own calls."""
    return _opened.clients.get(_WORKER) or _made(_WORKER)


def async_client() -> redis.asyncio.Redis:
    """The running event loop's client for short calls."""
    return _async_made(_CALL)


def async_blocking_client() -> redis.asyncio.Redis:
    """The running event loop's client for commands that block."""
    return _async_made(_BLOCKING)


def get_connection(queue: str | None = None) -> redis.Redis:
    """A redis-py client of the server that holds ``queue`` (default: any).

    Replies are bytes. It is shared and stays open: do not close it.

    Raises:
        UnknownQueue: REDISJOBS["QUEUES"] has no such queue.
        ConfigurationError: REDISJOBS is wrong.
    """
    if queue is not None:
        conf.get_queue_settings(queue)
    return client()


def describe() -> str:
    """Which server this is, for people and messages; never with a password."""
    address = Address.parse(conf.get_settings().url)
    if address.scheme == "embedded":
        return f"the embedded server in {conf.embedded_folder()}"
    return str(address)


def forget() -> None:
    """Close and drop every client; the next call makes new ones.

    For settings that changed, and before a fork: a process that forks should
    hold no connection. Clients of event loops that still run close with those.
    """
    with _opened.lock:
        clients = list(_opened.clients.values())
        _opened.clients.clear()
        _opened.of_loops.clear()
    for each in clients:
        each.close()


def _made(use: _Use) -> redis.Redis:
    # Read before the lock: reading settings may call back into user code.
    made = _open(use)
    with _opened.lock:
        return _opened.clients.setdefault(use, made)


def _open(use: _Use) -> redis.Redis:
    kwargs = _pool_arguments(use, parse_url, Retry(NoBackoff(), 0))
    return redis.Redis.from_pool(redis.ConnectionPool(**kwargs))


def _async_made(use: _Use) -> redis.asyncio.Redis:
    loop = asyncio.get_running_loop()
    with _opened.lock:
        of_loop = _opened.of_loops.get(loop)
        if of_loop is None:
            _drop_closed_loops()
            of_loop = _opened.of_loops.setdefault(loop, {})
    if found := of_loop.get(use):
        return found[0]
    kwargs = _pool_arguments(use, parse_async_url, AsyncRetry(NoBackoff(), 0))
    made = redis.asyncio.Redis.from_pool(redis.asyncio.ConnectionPool(**kwargs))
    # Only this loop's thread fills this dict.
    of_loop[use] = made, _close_with_loop(made)
    return made


def _drop_closed_loops() -> None:
    # A client refers to its loop, so that the weak key alone would keep both.
    for loop in [each for each in _opened.of_loops if each.is_closed()]:
        del _opened.of_loops[loop]


async def _closing(made: redis.asyncio.Redis) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await made.aclose()


def _close_with_loop(made: redis.asyncio.Redis) -> AsyncGenerator[None]:
    """Have the running loop close ``made`` when it ends.

    A loop closes the async generators that were begun in it before it closes
    itself (``asyncio.run`` and asgiref see to that); there is no other hook.
    """
    begun = _closing(made)
    # Runs it to its yield, which never waits: so the step ends at once.
    with suppress(StopIteration):
        begun.asend(None).send(None)
    return begun


def _pool_arguments(
    use: _Use, parse: Callable[[str], Any], no_retry: object
) -> dict[str, Any]:
    settings = conf.get_settings()
    address = Address.parse(settings.url)
    if address.scheme not in _PLACES:
        raise ConfigurationError(
            f"REDISJOBS['URL']: {address.scheme}:// cannot be opened."
        )
    place = _PLACES[address.scheme](settings.url, parse)
    chosen = {
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": use.socket_timeout,
        **settings.options,
        **place,
    }
    if use.timeout_is_fixed:
        chosen["socket_timeout"] = use.socket_timeout
    # redis-py repeats commands from 6.0 on, speaks RESP3 from 8.0 on (which Redis
    # 5 refuses), and limits a pool to 100 connections from 8.0 on.
    return {
        "max_connections": 2**31,
        **chosen,
        "protocol": 2,
        "decode_responses": False,
        "retry": no_retry,
        "retry_on_timeout": False,
        "health_check_interval": 0,
    }


def _tcp(url: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    return {**_keepalive(), **parse(url)}


def _unix(url: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    return dict(parse(url))


def _embedded(_: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    # Not at the top: it needs file locks, which Windows lacks, and few need it.
    from django_redisjobs.embedded import connection

    connection_class: type = connection.EmbeddedConnection
    if parse is parse_async_url:
        connection_class = connection.AsyncEmbeddedConnection
    return {"connection_class": connection_class, "folder": conf.embedded_folder()}


@cache
def _keepalive() -> dict[str, Any]:
    # A host that vanished is noticed within 45 s instead of two hours.
    wanted = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    known = {
        getattr(socket, name): value
        for name, value in wanted.items()
        if hasattr(socket, name)
    }
    return {"socket_keepalive": True, "socket_keepalive_options": known}


# By scheme: the arguments of a pool that say where to connect, and how.
_PLACES: dict[str, Callable[[str, Callable[[str], Any]], dict[str, Any]]] = {
    "redis": _tcp,
    "rediss": _tcp,
    "unix": _unix,
    "embedded": _embedded,
}


def _forget_in_child() -> None:
    """Drop the parent's clients without a word to its servers.

    redis-py's own connections close only their copy of a socket here. An event
    loop's transports would take themselves out of an epoll set that the parent
    still waits on: they are kept, so that nothing ever finalizes them.
    """
    _abandoned.append(_opened.of_loops)
    # A new lock, too: another thread of the parent may have held the old one.
    _opened.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


def _forget_changed(*, setting: str, **_: Any) -> None:
    if setting in conf.WATCHED:
        forget()


setting_changed.connect(_forget_changed, dispatch_uid="django_redisjobs.connections")
