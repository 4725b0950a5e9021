"""What about the server and the way to it puts jobs at risk, though they are well
configured: for ``check --deploy``, and for workers as they start.

E020 a server that is too old · E021 an embedded server that cannot run here · W001 the
embedded server · W002 a server that evicts keys · W003 one that keeps nothing on disk ·
W004 one that keeps snapshots only · W005 an unencrypted way to another host · W006 a
server that does not answer · W007 ``memory://`` · W008 a Cluster of which one node is
used · W009 fewer replicas than DURABLE asks for · W010 a server that cannot say what is
on its disk, as DURABLE asks · W011 no replica where one is to take over · W015 a cache in
the database of the jobs · W016 EAGER.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import redis
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.utils.module_loading import import_string

from django_redisjobs import conf, connections
from django_redisjobs.conf.addresses import Address, cache_location
from django_redisjobs.core.exceptions import in_words, sentence
from django_redisjobs.exceptions import ConfigurationError

OLDEST: Final = (5, 0)
# The first that can wait for its disk.
WAITS_FOR_DISK: Final = (7, 2)
_LOOPBACK: Final = ("localhost", "ip6-localhost", "::1")
# Where caches have a clear() that is FLUSHDB.
_FLUSHING: Final = ("django.core.cache.backends.redis", "django_redis.cache")


def place_problems() -> list[CheckMessage]:
    """What the settings alone tell. No I/O.

    Raises:
        ConfigurationError: REDISJOBS is wrong.
    """
    settings = conf.get_settings()
    found = _place(Address.parse(settings.url), settings.options)
    if settings.eager:
        found.append(
            _warning(
                "W016",
                "EAGER is on: each job runs in the process that enqueues it, once and "
                "without a time limit, and no worker gets any.",
                'Leave REDISJOBS["EAGER"] to tests and development.',
            )
        )
    return found


def _place(address: Address, options: Mapping[str, Any]) -> list[CheckMessage]:
    if address.scheme == "embedded":
        return [
            _warning(
                "W001",
                "REDISJOBS uses the embedded server, which serves one machine only.",
                'Set REDISJOBS["URL"] to a Redis or Valkey that all machines reach, '
                "or silence this if the site runs on one.",
            )
        ]
    if address.scheme == "memory":
        return [
            _warning(
                "W007",
                "REDISJOBS uses memory://: each process has jobs of its own, which "
                "are gone with it.",
                'Set REDISJOBS["URL"] to a Redis or Valkey.',
            )
        ]
    secure = address.scheme in ("unix", "rediss") or options.get("ssl")
    if not secure and not all(_is_here(host.name) for host in address.hosts):
        return [
            _warning(
                "W005",
                f"The way to Redis at {address} is not encrypted: whoever listens "
                "reads its password and the arguments of jobs, and can add jobs.",
                'Use rediss:// (OPTIONS {"ssl": True} for sentinel:// and cluster://), '
                "or silence this where nobody else is on that network.",
            )
        ]
    return []


def cache_problems() -> list[CheckMessage]:
    """Caches that would delete all jobs when they are cleared. No I/O.

    Raises:
        ConfigurationError: REDISJOBS is wrong.
    """
    settings = conf.get_settings()
    own = _databases(settings.url, settings.options)
    return [
        _warning(
            "W015",
            f"To clear the cache {alias!r} deletes all jobs: its clear() empties the "
            "database of the server, in which the jobs are, too.",
            'Give the jobs another database, such as REDISJOBS["OPTIONS"] = {"db": 1}, '
            "or a server of their own. Or silence this if nobody clears that cache.",
        )
        for alias, entry in django_settings.CACHES.items()
        if own & _flushed(entry)
    ]


def _flushed(entry: Mapping[str, Any]) -> set[tuple[object, ...]]:
    """The databases that ``clear()`` of this cache empties."""
    try:
        clear = import_string(entry["BACKEND"]).clear
        if clear.__module__ in _FLUSHING:
            return _databases(*cache_location(entry))
    except (AttributeError, ImportError, KeyError, ValueError):
        # What is wrong with it is for Django to say.
        pass
    return set()


def _databases(url: str, options: Mapping[str, Any]) -> set[tuple[object, ...]]:
    """Each as what equals only itself."""
    address = Address.parse(url)
    number = str(options.get("db", address.database) or 0)
    if address.scheme == "unix":
        return {(address.path, number)}
    return {
        ("" if _is_here(name) else name, port, number) for name, port in address.hosts
    }


def server_problems() -> list[CheckMessage]:
    """What the servers tell of themselves. Errors are what jobs cannot run on; the
    rest are warnings, also that a server does not answer.

    Raises:
        ConfigurationError: REDISJOBS is wrong.
    """
    if connections.is_within_process():
        return []
    found: dict[str, CheckMessage] = {}
    try:
        for where, client in _servers():
            for problem in _problems(where, client):
                found.setdefault(problem.msg, problem)
    except ConfigurationError as error:
        if Address.parse(conf.get_settings().url).scheme != "embedded":
            raise
        hint = "Until then no job can be made or run here."
        return [Error(str(error), hint=hint, id="redisjobs.E021")]
    return [*found.values(), *_spread()]


def _servers() -> Iterator[tuple[str, redis.Redis]]:
    """Those that hold the jobs, each once."""
    client = connections.client()
    if not isinstance(client, connections.ClusterClient):
        yield connections.describe(), client
        return
    seen = set()
    for keys in conf.groups():
        try:
            node = client.node_of(keys.base)
        except redis.RedisError:
            node = client
        arguments = node.connection_pool.connection_kwargs
        where = f"{arguments.get('host')}:{arguments.get('port')}"
        if where not in seen:
            seen.add(where)
            yield where, node


def _problems(where: str, client: redis.Redis) -> Iterator[CheckMessage]:
    try:
        server: Any = client.info("server")
        memory: Any = client.info("memory")
        persistence: Any = client.info("persistence")
        replication: Any = client.info("replication")
    except (redis.RedisError, OSError) as error:
        words = sentence(in_words(error))
        yield _warning(
            "W006",
            f"Redis at {where} does not say how it is: {words}",
            "Is it running, and may this user call INFO?",
        )
        return
    yield from _age(where, server)
    yield from _eviction(where, memory)
    yield from _persistence(where, client, persistence)
    yield from _replicas(where, int(replication.get("connected_slaves", 0)))
    yield from _disk(where, server, persistence)


def _age(where: str, server: Any) -> Iterator[CheckMessage]:
    if _is_older(server, OLDEST):
        yield Error(
            f"Redis at {where} is {server['redis_version']}, which is too old.",
            hint="Use Redis 5.0 or newer, or Valkey.",
            id="redisjobs.E020",
        )


def _is_older(server: Any, version: tuple[int, int]) -> bool:
    """False where it does not say."""
    numbers = str(server.get("redis_version", "")).split(".")[:2]
    known = all(each.isdecimal() for each in numbers)
    return known and tuple(map(int, numbers)) < version


def _eviction(where: str, memory: Any) -> Iterator[CheckMessage]:
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield _warning(
            "W002",
            f"Redis at {where} has the maxmemory-policy {policy}: when its memory is "
            "full it deletes keys, jobs too.",
            "Set maxmemory-policy noeviction. A cache wants a server of its own.",
        )


def _persistence(
    where: str, client: redis.Redis, persistence: Any
) -> Iterator[CheckMessage]:
    if int(persistence.get("aof_enabled", 1)):
        return
    hint = "Set appendonly yes, and appendfsync everysec."
    if _takes_snapshots(client):
        yield _warning(
            "W004",
            f"Redis at {where} keeps snapshots only: a crash of the server loses the "
            "jobs that were enqueued after the last one.",
            hint,
        )
    else:
        yield _warning(
            "W003",
            f"Redis at {where} keeps nothing on disk: a restart loses all jobs.",
            hint,
        )


def _replicas(where: str, connected: int) -> Iterator[CheckMessage]:
    settings = conf.get_settings()
    asked = max(
        (each.durable.replicas for each in settings.queues.values() if each.durable),
        default=0,
    )
    if connected < asked:
        yield _warning(
            "W009",
            f"Redis at {where} has {connected} replicas, but DURABLE asks for {asked}: "
            "each enqueue will wait in vain and raise NotDurable.",
            "Add replicas, or ask for fewer.",
        )
    elif not connected and Address.parse(settings.url).scheme in (
        "sentinel",
        "cluster",
    ):
        yield _warning(
            "W011",
            f"Redis at {where} has no replica: when it dies, nobody takes over.",
            "Add one. DURABLE has an enqueue wait until it has the job.",
        )


def _disk(where: str, server: Any, persistence: Any) -> Iterator[CheckMessage]:
    queues = conf.get_settings().queues.values()
    if not any(each.durable and each.durable.disk for each in queues):
        return
    reason = ""
    if _is_older(server, WAITS_FOR_DISK):
        reason = f"is {server['redis_version']}, and only 7.2 or newer can tell"
    elif not int(persistence.get("aof_enabled", 1)):
        reason = "has no append-only file"
    if reason:
        yield _warning(
            "W010",
            f"DURABLE asks for the disk, but Redis at {where} {reason}: each enqueue "
            "will raise NotDurable.",
            "Set appendonly yes on Redis 7.2 or newer, or Valkey; or ask for REPLICAS.",
        )


def _takes_snapshots(client: redis.Redis) -> bool:
    """Where the server does not tell: yes, which is its default."""
    try:
        found: Any = client.config_get("save")
    except redis.RedisError:
        return True
    return bool(found.get("save", "unknown"))


def _spread() -> list[CheckMessage]:
    in_cluster = isinstance(connections.client(), connections.ClusterClient)
    if not in_cluster or len(conf.groups()) > 1:
        return []
    return [
        _warning(
            "W008",
            "All queues are in one group, so that one node of the Cluster has all "
            "their jobs.",
            'Spread them: REDISJOBS["QUEUES"] = {"mail": {"GROUP": "mail"}, …}. Or '
            "silence this if one node is enough.",
        )
    ]


def _is_here(name: str) -> bool:
    return name in _LOOPBACK or name.startswith("127.")


def _warning(number: str, message: str, hint: str) -> CheckMessage:
    return CheckWarning(message, hint=hint, id=f"redisjobs.{number}")
