"""Reads one value each: returns it in the form that Settings have, or raises
TypeError or ValueError with what is wrong and what to give instead.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from redis import connection

from django_redisjobs.conf.addresses import Address, cache_location, url_text
from django_redisjobs.core.durability import Durability
from django_redisjobs.core.records import DEFAULT_KEEP, JobStatus, Keep, KeepPolicy
from django_redisjobs.core.signatures import Signatures
from django_redisjobs.durations import parse_duration

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_SIZE = re.compile(r"\s*(\d+)\s*(B|KB|MB)?\s*", re.ASCII | re.IGNORECASE)
_BYTES = {"B": 1, "KB": 1024, "MB": 1024 * 1024}
_NUMBERS = frozenset(
    {
        "db",
        "max_connections",
        "socket_connect_timeout",
        "socket_read_size",
        "socket_timeout",
    }
)
# These decide whether jobs are safe: connections.pools sets them and nobody else.
_RESERVED_OPTIONS = frozenset(
    {
        "connection_pool",
        "decode_responses",
        "health_check_interval",
        "protocol",
        "retry",
        "retry_on_error",
        "retry_on_timeout",
    }
)
# A call's socket gives up after twice that.
LONGEST_WAIT_MS = 5_000
# Characters of what opens the stats to programs.
SHORTEST_TOKEN = 16
# Characters of a signing key.
SHORTEST_KEY = 32
NAME_RULE = "1 to 64 of letters, digits, '_', '.' and '-'"


def is_queue_name(value: object) -> bool:
    return isinstance(value, str) and bool(_QUEUE_NAME.fullmatch(value))


def place(value: object) -> tuple[str, dict[str, Any]]:
    """The URL, and what else an entry of CACHES says of connections."""
    if isinstance(value, Mapping):
        text, found = cache_location(value)
    else:
        text, found = url_text(value), {}
    Address.parse(text)
    for name, given in parse_qsl(text.partition("?")[2]):
        read: Any = connection.URL_QUERY_ARGUMENT_PARSERS.get(name, str)
        try:
            read(given)
        except (TypeError, ValueError):
            raise ValueError(f"{given!r} is no value of {name}.") from None
    return text, found


def options(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(
            f"it is of type {type(value).__name__}, not a dict of options for "
            "redis-py's client."
        )
    reserved = sorted(_RESERVED_OPTIONS & value.keys())
    if reserved:
        raise ValueError(f"{', '.join(reserved)} cannot be chosen. Remove it.")
    for name in sorted(_NUMBERS & value.keys()):
        # Text from the environment, say.
        if value[name] is not None and type(value[name]) not in (int, float):
            raise TypeError(f"{name} is {value[name]!r}, not a number.")
    sentinel = value.get("sentinel_kwargs", {})
    if not isinstance(sentinel, Mapping):
        raise TypeError(
            f"'sentinel_kwargs' is of type {type(sentinel).__name__}, not a dict of "
            "options."
        )
    return value


@cache
def known_options(*, urls: bool = False) -> frozenset[str]:
    """What redis-py's connections and pools may be told, by the one installed.

    In ``urls`` also what decides whether jobs are safe: others may have written
    them, and what they say of that is not heard.
    """
    classes = {
        each
        for name in ("Connection", "SSLConnection", "UnixDomainSocketConnection")
        for each in getattr(connection, name).__mro__
        if each is not object
    }
    names = {
        parameter
        for each in classes
        for parameter in inspect.signature(each.__init__).parameters
    }
    places = {"self", "args", "kwargs", "host", "port", "path"}
    more = {"connection_class", "max_connections", "ssl"}
    return frozenset((names | more) - places - (set() if urls else _RESERVED_OPTIONS))


def by_name(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        named = {name: {} if given is None else given for name, given in value.items()}
    elif isinstance(value, (list, tuple)):
        named = {name: {} for name in value}
    else:
        raise TypeError(
            f"{value!r} is neither a list of names nor a dict by name. "
            f'Write ["high", "default"] or {{"high": {{}}, "default": {{}}}}.'
        )
    if not named:
        raise ValueError("it names no queue. Leave it out for one queue 'default'.")
    return named


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither True nor False.")
    return value


def on_commit(value: object) -> bool | str:
    if isinstance(value, (bool, str)) and value != "":
        return value
    raise TypeError(f"{value!r} is neither True, False nor a database alias.")


def words(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple, set, frozenset)) or not all(
        isinstance(word, str) and word for word in value
    ):
        raise TypeError(f"{value!r} is not a list of strings.")
    return tuple(value)


def signatures(value: object) -> Signatures | None:
    # No message may show a key.
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"a {type(value).__name__} is no list of keys.")
    for place, key in enumerate(value):
        if key is not None and not isinstance(key, str):
            raise TypeError(
                f"item {place} is a {type(key).__name__}, not text (nor None, which "
                "accepts unsigned jobs)."
            )
        if key is not None and len(key) < SHORTEST_KEY:
            raise ValueError(
                f"item {place} has {len(key)} characters, which is too short: give "
                f"{SHORTEST_KEY} or more at random, such as those of "
                'python -c "import secrets; print(secrets.token_urlsafe(48))".'
            )
    if not value:
        return None
    if not any(value):
        raise ValueError("there is no key in it. Add one, or leave it empty.")
    return Signatures(value)


def durability(value: object) -> Durability | None:
    if value is None or value is False:
        return None
    if value is True:
        value = {"DISK": True}
    elif isinstance(value, int):
        value = {"REPLICAS": value}
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{value!r} is nothing to wait for. Give True for the server's disk, a "
            'number of replicas, or {"DISK": True, "REPLICAS": 1, "TIMEOUT": "1s"}.'
        )
    for key in value:
        if key not in ("DISK", "REPLICAS", "TIMEOUT"):
            raise ValueError(f"{key!r} is unknown. There are DISK, REPLICAS, TIMEOUT.")
    disk = boolean(value.get("DISK", False))
    replicas = value.get("REPLICAS", 0)
    if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 0:
        raise ValueError(f"REPLICAS is {replicas!r}, not a number from 0 up.")
    if not disk and not replicas:
        raise ValueError(
            "it waits for nothing. Ask for DISK or REPLICAS, or say False."
        )
    timeout_ms = round(parse_duration(value.get("TIMEOUT", 1)) * 1000)
    if not 1 <= timeout_ms <= LONGEST_WAIT_MS:
        raise ValueError(
            f"TIMEOUT is {value['TIMEOUT']!r}; whoever enqueues waits from 1 ms to "
            f"{LONGEST_WAIT_MS // 1000} s."
        )
    return Durability(disk, replicas, timeout_ms)


def prefix(value: object) -> str:
    if not (isinstance(value, str) and _PREFIX.fullmatch(value)):
        raise ValueError(
            f"{value!r} is no prefix: 1 to 64 of letters, digits, '_', '.', ':', '-'."
        )
    return value


def group(value: object) -> str:
    if isinstance(value, str) and is_queue_name(value):
        return value
    raise ValueError(f"{value!r} is no group, which is {NAME_RULE}.")


def token(value: object) -> str | None:
    """A secret that programs show; none where the environment has none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not value.isascii() or value != value.strip():
        raise ValueError("a token is text in ASCII, without spaces around it.")
    if len(value) < SHORTEST_TOKEN:
        raise ValueError(f"a token has at least {SHORTEST_TOKEN} characters.")
    return value


def count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a number from 0 up.")
    return value


def at_least_one(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is not a number from 1 up.")
    return value


def size(value: object) -> int:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        value = int(match[1]) * _BYTES[(match[2] or "B").upper()]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f'{value!r} is no size. Give bytes, or text like "1MB".')
    return value


def timeout(value: Any) -> float | None:
    if value is None:
        return None
    seconds = parse_duration(value)
    if seconds == 0:
        raise ValueError("0 would end every job at once. None means no timeout.")
    return seconds


def lease_ms(value: Any) -> int:
    milliseconds = round(parse_duration(value) * 1000)
    if milliseconds < 100:
        raise ValueError(f"{value!r} is too short to be renewed in time.")
    return milliseconds


def keep(value: object) -> KeepPolicy:
    if not isinstance(value, Mapping):
        raise TypeError(f'{value!r} is not a dict like {{"failed": ("7d", 10_000)}}.')
    policy = dict(DEFAULT_KEEP)
    for status, kept in value.items():
        if status not in policy:
            known = ", ".join(policy)
            raise ValueError(f"{status!r} is no status that a job ends in: {known}.")
        policy[JobStatus(status)] = _kept(status, kept)
    return MappingProxyType(policy)


def _kept(status: str, value: object) -> Keep:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise TypeError(
            f'{status!r} is {value!r}; give how long and how many: ("1h", 10_000).'
        )
    age, count = value
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise ValueError(f"{status!r} keeps {count!r} jobs; give a whole number.")
    return Keep(round(parse_duration(age) * 1000), count)
