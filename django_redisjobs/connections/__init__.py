"""The only place that makes Redis clients, with timeouts that fit each use.

No client repeats a command by itself: a repeated claim would lose jobs. Whoever
calls decides what is safe to send again.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.core.signals import setting_changed

from django_redisjobs import conf
from django_redisjobs.conf.addresses import Address

from .cluster import ClusterClient
from .leaving import forget_departure, is_stale
from .opening import (
    aclose,
    close,
    open_async_client,
    open_client,
    open_whole_cluster,
)
from .routing import is_moved
from .sentinels import PrimaryPool
from .sharing import NoneFree
from .uses import (
    BLOCKING,
    BLOCKING_TIMEOUT,
    CALL,
    CALL_TIMEOUT,
    CONNECT_TIMEOUT,
    DURABLE,
    LONGEST_BLOCK,
    WORKER,
    Use,
)

__all__ = [
    "BLOCKING_TIMEOUT",
    "CALL_TIMEOUT",
    "CONNECT_TIMEOUT",
    "LONGEST_BLOCK",
    "ClusterClient",
    "NoneFree",
    "PrimaryPool",
    "async_blocking_client",
    "async_client",
    "async_durable_client",
    "blocking_client",
    "client",
    "describe",
    "forget",
    "get_connection",
    "is_moved",
    "is_stale",
    "is_within_process",
    "worker_client",
]

# A loop's clients, each with the generator that closes it at the loop's end.
_OfLoop: TypeAlias = dict[Use, tuple[redis.asyncio.Redis, AsyncGenerator[None]]]


class _Opened:
    """The clients of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clients: dict[Use, redis.Redis] = {}
        self.whole_cluster: redis.Redis | None = None
        self.of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop] = (
            WeakKeyDictionary()
        )


_opened = _Opened()
# Async clients of the parent, in a forked child: see _forget_in_child.
_abandoned: list[object] = []


def client() -> redis.Redis:
    """The client for short calls; safe in threads."""
    return _opened.clients.get(CALL) or _made(CALL)


def blocking_client() -> redis.Redis:
    """The client for commands that block, up to ``LONGEST_BLOCK`` seconds."""
    return _opened.clients.get(BLOCKING) or _made(BLOCKING)


def worker_client() -> redis.Redis:
    """A worker process's client for its own calls."""
    return _opened.clients.get(WORKER) or _made(WORKER)


def async_client() -> redis.asyncio.Redis:
    """The running event loop's client for short calls."""
    return _async_made(CALL)


def async_blocking_client() -> redis.asyncio.Redis:
    """The running event loop's client for commands that block."""
    return _async_made(BLOCKING)


def async_durable_client() -> redis.asyncio.Redis:
    """The running event loop's client for calls that wait for replicas or a disk."""
    return _async_made(DURABLE)


def get_connection(queue: str | None = None) -> redis.Redis:
    """A redis-py client of the server that holds ``queue`` (default: any).

    Replies are bytes. It is shared and stays open: do not close it. For a Cluster
    it is a ``redis.RedisCluster``, which has the same commands.

    Raises:
        UnknownQueue: REDISJOBS["QUEUES"] has no such queue.
        ConfigurationError: REDISJOBS is wrong.
        redis.RedisError: no node of the Cluster answers.
    """
    if queue is not None:
        conf.get_queue_settings(queue)
    if Address.parse(conf.get_settings().url).scheme != "cluster":
        return client()
    if found := _opened.whole_cluster:
        return found
    made: redis.Redis = open_whole_cluster(CALL)
    _opened.whole_cluster = made
    return made


def is_within_process() -> bool:
    """Whether the server is this process's own (``memory://``): no other process
    sees it, and its connections have no sockets.
    """
    return Address.parse(conf.get_settings().url).scheme == "memory"


def describe() -> str:
    """Which server this is, for people and messages; never with a password."""
    address = Address.parse(conf.get_settings().url)
    if address.scheme == "embedded":
        return f"the embedded server in {conf.embedded_folder()}"
    if address.scheme == "memory":
        return "memory:// in this process"
    return str(address)


def forget() -> None:
    """Close and drop every client; the next call makes new ones.

    For settings that changed, and before a fork: a process that forks should
    hold no connection. Clients of event loops that still run close with those.
    """
    with _opened.lock:
        clients = list(_opened.clients.values())
        if _opened.whole_cluster is not None:
            clients.append(_opened.whole_cluster)
        _opened.clients.clear()
        _opened.whole_cluster = None
        _opened.of_loops.clear()
    forget_departure()
    for each in clients:
        close(each)


def _made(use: Use) -> redis.Redis:
    # Read before the lock: reading settings may call back into user code.
    made = open_client(use)
    with _opened.lock:
        return _opened.clients.setdefault(use, made)


def _async_made(use: Use) -> redis.asyncio.Redis:
    loop = asyncio.get_running_loop()
    with _opened.lock:
        of_loop = _opened.of_loops.get(loop)
        if of_loop is None:
            _drop_closed_loops()
            of_loop = _opened.of_loops.setdefault(loop, {})
    if found := of_loop.get(use):
        return found[0]
    made = open_async_client(use)
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
        await aclose(made)


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
