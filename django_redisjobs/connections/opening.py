"""Opens the client that the settings ask for: one server, a Cluster, what sentinels
watch, or a server within this process.
"""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel

from django_redisjobs import conf
from django_redisjobs.conf.addresses import Address, Host

from . import memory
from .cluster import AsyncClusterClient, ClusterClient
from .direct import open_direct
from .leaving import leaving
from .pools import ASYNC, SYNC, UNLIMITED, arguments, scout_arguments
from .sentinels import PrimaryPool
from .sharing import MOST_CONNECTIONS, SharedPool, SharedPrimaryPool
from .uses import Use

# What a connection to a Cluster's node needs to be let in, beside its host.
_ADMISSION = ("username", "password", "credential_provider", "connection_class")


def open_client(use: Use) -> redis.Redis:
    """A new synchronous client. Connects with its first command."""
    address = Address.parse(conf.get_settings().url)
    if address.scheme == "memory":
        return memory.open_client()
    if address.scheme == "cluster":
        return _open_cluster(address, use)
    pool_arguments = arguments(use, SYNC)
    if address.scheme == "sentinel":
        sentinel = redis.sentinel.Sentinel(  # type: ignore[no-untyped-call]
            address.hosts, sentinel_kwargs=_for_sentinels(SYNC)
        )
        pool = PrimaryPool(  # type: ignore[no-untyped-call]
            address.service, sentinel, **_managed(pool_arguments, redis.sentinel)
        )
        return redis.Redis.from_pool(pool)
    return open_direct(leaving(pool_arguments, SYNC))


def open_async_client(use: Use) -> redis.asyncio.Redis:
    """A new client for the running event loop."""
    address = Address.parse(conf.get_settings().url)
    if address.scheme == "memory":
        return memory.open_async_client()
    if address.scheme == "cluster":
        return _open_async_cluster(address, use)
    pool_arguments = arguments(use, ASYNC)
    if address.scheme == "sentinel":
        sentinel = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
            address.hosts, sentinel_kwargs=_for_sentinels(ASYNC)
        )
        managed = _managed(pool_arguments, redis.asyncio.sentinel)
        pool = SharedPrimaryPool(address.service, sentinel, **_shared(managed))
        return redis.asyncio.Redis.from_pool(pool)
    return _open_async(leaving(pool_arguments, ASYNC))


def _open_async(pool_arguments: dict[str, Any]) -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_pool(SharedPool(**_shared(pool_arguments)))


def _shared(pool_arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of a pool of an event loop."""
    most = pool_arguments["max_connections"]
    return {
        **pool_arguments,
        # What is shared is counted there.
        "max_connections": UNLIMITED,
        # For redis-py 0 is no limit, either.
        "places": most if 0 < most < UNLIMITED else MOST_CONNECTIONS,
        "patience": pool_arguments["socket_timeout"],
    }


def close(client: redis.Redis) -> None:
    """Close a client, and those of the sentinels that it asked."""
    client.close()
    pool = getattr(client, "connection_pool", None)
    manager = getattr(pool, "sentinel_manager", None)
    for sentinel in manager.sentinels if manager is not None else ():
        sentinel.close()


async def aclose(client: redis.asyncio.Redis) -> None:
    """``close`` for an asynchronous client."""
    await client.aclose()
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    for sentinel in manager.sentinels if manager is not None else ():
        await sentinel.aclose()


def open_whole_cluster(use: Use) -> Any:
    """redis-py's own client of the Cluster, for commands of users' own."""
    address = Address.parse(conf.get_settings().url)
    chosen = arguments(use, SYNC)
    retry = chosen.pop("retry")
    for name in ("db", "max_connections", "retry_on_timeout"):
        chosen.pop(name, None)
    if chosen.pop("connection_class", None) is SYNC.tls_class:
        chosen["ssl"] = True
    # Older ones count tries by another argument, which newer ones warn of.
    if int(redis.__version__.partition(".")[0]) < 6:
        chosen["cluster_error_retry_attempts"] = 0
    return redis.RedisCluster(
        startup_nodes=[
            redis.cluster.ClusterNode(*host)  # type: ignore[no-untyped-call]
            for host in address.hosts
        ],
        retry=retry,
        require_full_coverage=False,
        **chosen,
    )


def _open_cluster(address: Address, use: Use) -> ClusterClient:
    of_node = arguments(use, SYNC)
    of_scout = scout_arguments(_admission(of_node), SYNC)

    def open_(host: Host) -> redis.Redis:
        return open_direct({**of_node, **_at(host)})

    def scout(host: Host) -> redis.Redis:
        return redis.Redis.from_pool(
            redis.ConnectionPool(**{**of_scout, **_at(host)}),
        )

    return ClusterClient(address.hosts, open_, scout)


def _open_async_cluster(address: Address, use: Use) -> AsyncClusterClient:
    of_node = arguments(use, ASYNC)
    of_scout = scout_arguments(_admission(of_node), ASYNC)

    def open_(host: Host) -> redis.asyncio.Redis:
        return _open_async({**of_node, **_at(host)})

    def scout(host: Host) -> redis.asyncio.Redis:
        return redis.asyncio.Redis.from_pool(
            redis.asyncio.ConnectionPool(**{**of_scout, **_at(host)}),
        )

    return AsyncClusterClient(address.hosts, open_, scout)


def _admission(of_node: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in of_node.items()
        if name in _ADMISSION or name.startswith("ssl_")
    }


def _at(host: Host) -> dict[str, Any]:
    return {"host": host.name, "port": host.port}


def _for_sentinels(dialect: Any) -> dict[str, Any]:
    """Sentinels have users and passwords of their own: OPTIONS["sentinel_kwargs"]."""
    given = conf.get_settings().options.get("sentinel_kwargs", {})
    chosen = scout_arguments(given, dialect)
    # These are arguments of a client here, which takes TLS by another name.
    if chosen.pop("connection_class", None) is dialect.tls_class:
        chosen["ssl"] = True
    del chosen["retry_on_timeout"]
    return chosen


def _managed(chosen: dict[str, Any], module: Any) -> dict[str, Any]:
    """The arguments of a pool whose connections ask sentinels where to go."""
    secure = chosen.pop("connection_class", None) is not None
    chosen["connection_class"] = (
        module.SentinelManagedSSLConnection
        if secure
        else module.SentinelManagedConnection
    )
    return chosen
