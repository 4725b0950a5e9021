"""What a pool of connections is told: where to connect, how, and how patiently."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import redis.asyncio.connection
import redis.connection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from django_redisjobs import conf
from django_redisjobs.conf.addresses import Address

from .uses import CONNECT_TIMEOUT, SCOUT_TIMEOUT, Use

UNLIMITED: Final = 2**31
"""Connections that a pool may have where nobody asked for fewer."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between redis-py's synchronous and its asynchronous half."""

    is_async: bool
    parse_url: Callable[[str], Any]
    tcp_class: type
    tls_class: type
    no_retry: Any


SYNC: Final = Dialect(
    False,
    redis.connection.parse_url,
    redis.connection.Connection,
    redis.connection.SSLConnection,
    Retry(NoBackoff(), 0),
)
ASYNC: Final = Dialect(
    True,
    redis.asyncio.connection.parse_url,
    redis.asyncio.connection.Connection,
    redis.asyncio.connection.SSLConnection,
    AsyncRetry(NoBackoff(), 0),
)


def arguments(use: Use, dialect: Dialect) -> dict[str, Any]:
    """The arguments of a pool for the server that the settings name. For sentinels
    and Clusters those of any of its servers, without the host.
    """
    settings = conf.get_settings()
    address = Address.parse(settings.url)
    options = {
        name: value
        for name, value in settings.options.items()
        if name != "sentinel_kwargs"
    }
    chosen = {
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": use.socket_timeout,
        **_place(address, dialect),
        **options,
        **_from_url(address, dialect),
    }
    if "db" in options:
        # The URL may be that of a cache, and jobs want a database of their own.
        chosen["db"] = options["db"]
    if use.may_block:
        chosen["socket_timeout"] = use.socket_timeout
    return _safe(chosen, dialect)


def scout_arguments(given: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Those of somebody who asks where a server is, and may ask another one."""
    chosen = {
        **_keepalive(),
        "socket_connect_timeout": SCOUT_TIMEOUT,
        "socket_timeout": SCOUT_TIMEOUT,
        **given,
    }
    return _safe(chosen, dialect)


def _safe(chosen: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    if chosen.pop("ssl", False):
        chosen["connection_class"] = dialect.tls_class
    # redis-py repeats commands from 6.0 on, speaks RESP3 from 8.0 on (which Redis
    # 5 refuses), and limits a pool to 100 connections from 8.0 on.
    return {
        "max_connections": UNLIMITED,
        **chosen,
        "protocol": 2,
        "decode_responses": False,
        "retry": dialect.no_retry,
        "retry_on_timeout": False,
        "health_check_interval": 0,
    }


def _from_url(address: Address, dialect: Dialect) -> dict[str, Any]:
    if not address.hosts and address.scheme != "unix":
        return {}
    parsed = dict(dialect.parse_url(address.server_url))
    if address.scheme in ("sentinel", "cluster"):
        del parsed["host"], parsed["port"]
    return parsed


def _place(address: Address, dialect: Dialect) -> dict[str, Any]:
    if address.scheme == "embedded":
        return _embedded(dialect)
    return _keepalive() if address.hosts else {}


def _embedded(dialect: Dialect) -> dict[str, Any]:
    # Not at the top: it needs file locks, which Windows lacks, and few need it.
    from django_redisjobs.embedded import connection

    connection_class: type = connection.EmbeddedConnection
    if dialect.is_async:
        connection_class = connection.AsyncEmbeddedConnection
    return {"connection_class": connection_class, "folder": conf.embedded_folder()}


@cache
def _keepalive() -> dict[str, Any]:
    # A host that vanished is noticed within 45 s instead of two hours.
    wanted = {"TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    # macOS has another name for how long it has to be silent first.
    has_idle = hasattr(socket, "TCP_KEEPIDLE")
    wanted["TCP_KEEPIDLE" if has_idle else "TCP_KEEPALIVE"] = 30
    known = {
        getattr(socket, name): value
        for name, value in wanted.items()
        if hasattr(socket, name)
    }
    return {"socket_keepalive": True, "socket_keepalive_options": known}
