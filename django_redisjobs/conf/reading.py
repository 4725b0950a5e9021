"""Reads REDISJOBS, collecting every problem instead of stopping at the first."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django_redisjobs.conf.addresses import Address, cache_location, url_text
from django_redisjobs.conf.values import QueueSettings, Settings
from django_redisjobs.core.records import JobStatus, Keep, KeepPolicy
from django_redisjobs.durations import parse_duration
from django_redisjobs.retries import Retry

DEFAULT_KEEP: KeepPolicy = MappingProxyType(
    {
        JobStatus.SUCCEEDED: Keep(3_600_000, 10_000),
        JobStatus.FAILED: Keep(7 * 86_400_000, 10_000),
        JobStatus.CANCELLED: Keep(3_600_000, 1_000),
        JobStatus.EXPIRED: Keep(3_600_000, 1_000),
    }
)
_QUEUE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_SIZE = re.compile(r"\s*(\d+)\s*(B|KB|MB)?\s*", re.ASCII | re.IGNORECASE)
_BYTES = {"B": 1, "KB": 1024, "MB": 1024 * 1024}
# These decide whether jobs are safe: connections.py sets them and nobody else.
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


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the id of its check, what is wrong, what to do."""

    id: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def read(
    raw: object, caches: Mapping[str, Any]
) -> tuple[Settings | None, tuple[Problem, ...]]:
    """The settings, or None, and every problem in them. No I/O."""
    if not isinstance(raw, Mapping):
        message = f"REDISJOBS is {raw!r}, which is not a dict."
        return None, (Problem("E001", message, 'Write REDISJOBS = {"URL": …}.'),)
    reading = _Reading(raw, caches)
    settings = reading.settings()
    problems = tuple(reading.problems)
    return (None if problems else settings), problems


class _Reading:
    """One pass over one dict. After a problem the default stands in."""

    def __init__(self, raw: Mapping[str, Any], caches: Mapping[str, Any]) -> None:
        self.raw = raw
        self.caches = caches
        self.problems: list[Problem] = []

    def settings(self) -> Settings:
        self._refuse_unknown(self.raw, _KEYS, "REDISJOBS")
        url, options = self._place()
        outbox = self._get("OUTBOX", _boolean, False)
        return Settings(
            url=url,
            cache=self.raw.get("CACHE"),
            options=MappingProxyType(options),
            prefix=self._get("PREFIX", _prefix, "redisjobs"),
            queues=MappingProxyType(self._queues(outbox)),
            on_commit=self._get("ON_COMMIT", _on_commit, True),
            keep=self._get("KEEP", _keep, DEFAULT_KEEP),
            lease_ms=self._get("LEASE", _lease_ms, 30_000),
            max_crashes=self._get("MAX_CRASHES", _at_least_one, 3),
            max_payload=self._get("MAX_PAYLOAD", _size, 1024 * 1024),
            eager=self._get("EAGER", _boolean, False),
            autodiscover=self._get("AUTODISCOVER", _words, ("jobs", "tasks")),
            admin=self._get("ADMIN", _boolean, True),
            outbox=outbox,
            durable=self._get("DURABLE", _boolean, False),
            redact=self._get("REDACT", _words, ()),
            signing_keys=self._get("SIGNING_KEYS", _words, ()),
        )

    def _refuse_unknown(
        self, given: Mapping[str, Any], known: Iterable[str], where: str
    ) -> None:
        for key in given:
            if key not in known:
                message = f"{where} has an unknown key {key!r}."
                self.problems.append(Problem("E002", message, _nearest(key, known)))

    def _get(self, key: str, reader: Callable[[Any], Any], default: Any) -> Any:
        return self._value(self.raw, key, reader, default, "REDISJOBS")

    def _value(
        self,
        given: Mapping[str, Any],
        key: str,
        reader: Callable[[Any], Any],
        default: Any,
        where: str,
    ) -> Any:
        if key not in given:
            return default
        try:
            return reader(given[key])
        except (TypeError, ValueError) as error:
            self._problem(_IDS.get(key, "E010"), f"{where}[{key!r}]: {error}")
            return default

    def _problem(self, id_: str, message: str) -> None:
        self.problems.append(Problem(id_, message))

    def _place(self) -> tuple[str, dict[str, Any]]:
        options = dict(self._get("OPTIONS", _options, {}))
        alias = self.raw.get("CACHE")
        if alias is None:
            return self._get("URL", _url, "embedded://"), options
        if "URL" in self.raw:
            self._problem("E008", "REDISJOBS has both URL and CACHE. Remove one.")
        elif alias not in self.caches:
            known = ", ".join(sorted(self.caches))
            self._problem(
                "E008", f"REDISJOBS['CACHE'] is {alias!r}; CACHES has {known}."
            )
        else:
            try:
                url, from_cache = cache_location(self.caches[alias])
                return _url(url), from_cache | options
            except (TypeError, ValueError) as error:
                self._problem("E008", f"REDISJOBS['CACHE'] is {alias!r}: {error}")
        return "embedded://", options

    def _queues(self, outbox: bool) -> dict[str, QueueSettings]:
        defaults = {
            "TIMEOUT": self._get("TIMEOUT", _timeout, 300.0),
            "RETRY": self._get("RETRY", Retry.of, Retry()),
            "RESULT_TTL": self._get("RESULT_TTL", parse_duration, 3600.0),
            "OUTBOX": outbox,
            "GROUP": "default",
        }
        queues = {}
        for name, given in self._get("QUEUES", _by_name, {"default": {}}).items():
            if not (isinstance(name, str) and _QUEUE_NAME.fullmatch(name)):
                self._problem("E005", f"REDISJOBS['QUEUES'] has {name!r}: {_NAME_RULE}")
            elif not isinstance(given, Mapping):
                self._problem(
                    "E004", f"REDISJOBS['QUEUES'][{name!r}] is {given!r}, not a dict."
                )
            else:
                queues[name] = self._queue(name, given, defaults)
        return queues

    def _queue(
        self, name: str, given: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> QueueSettings:
        where = f"REDISJOBS['QUEUES'][{name!r}]"
        self._refuse_unknown(given, _QUEUE_READERS, where)
        values = {
            key.lower(): self._value(given, key, reader, defaults[key], where)
            for key, reader in _QUEUE_READERS.items()
        }
        return QueueSettings(name=name, **values)


_NAME_RULE = "a queue's name is 1 to 64 of letters, digits, '_', '.' and '-'."


def _nearest(key: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(key).upper(), known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known keys: {', '.join(sorted(known))}."


def _url(value: object) -> str:
    url = url_text(value)
    Address.parse(url)
    return url


def _options(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is not a dict of options for redis-py's client.")
    reserved = sorted(_RESERVED_OPTIONS & value.keys())
    if reserved:
        raise ValueError(f"{', '.join(reserved)} cannot be chosen. Remove it.")
    return value


def _by_name(value: object) -> dict[Any, Any]:
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


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither True nor False.")
    return value


def _on_commit(value: object) -> bool | str:
    if isinstance(value, (bool, str)) and value != "":
        return value
    raise TypeError(f"{value!r} is neither True, False nor a database alias.")


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple, set, frozenset)) or not all(
        isinstance(word, str) and word for word in value
    ):
        raise TypeError(f"{value!r} is not a list of strings.")
    return tuple(value)


def _prefix(value: object) -> str:
    if not (isinstance(value, str) and _PREFIX.fullmatch(value)):
        raise ValueError(
            f"{value!r} is no prefix: 1 to 64 of letters, digits, '_', '.', ':', '-'."
        )
    return value


def _group(value: object) -> str:
    if not (isinstance(value, str) and _QUEUE_NAME.fullmatch(value)):
        raise ValueError(
            f"{value!r} is no group: 1 to 64 of letters, digits, '_', '.', '-'."
        )
    return value


def _at_least_one(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is not a number from 1 up.")
    return value


def _size(value: object) -> int:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        value = int(match[1]) * _BYTES[(match[2] or "B").upper()]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f'{value!r} is no size. Give bytes, or text like "1MB".')
    return value


def _timeout(value: Any) -> float | None:
    if value is None:
        return None
    seconds = parse_duration(value)
    if seconds == 0:
        raise ValueError("0 would end every job at once. None means no timeout.")
    return seconds


def _lease_ms(value: Any) -> int:
    milliseconds = round(parse_duration(value) * 1000)
    if milliseconds < 100:
        raise ValueError(f"{value!r} is too short to be renewed in time.")
    return milliseconds


def _keep(value: object) -> KeepPolicy:
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


_QUEUE_READERS: Mapping[str, Callable[[Any], Any]] = {
    "TIMEOUT": _timeout,
    "RETRY": Retry.of,
    "RESULT_TTL": parse_duration,
    "GROUP": _group,
    "OUTBOX": _boolean,
}
_KEYS = frozenset(
    {
        *("URL", "CACHE", "OPTIONS", "PREFIX", "QUEUES", "ON_COMMIT", "TIMEOUT"),
        *("RETRY", "RESULT_TTL", "KEEP", "LEASE", "MAX_CRASHES", "MAX_PAYLOAD"),
        *("OUTBOX", "DURABLE", "REDACT", "SIGNING_KEYS", "EAGER", "AUTODISCOVER"),
        "ADMIN",
    }
)
# Ids of checks by key; what is not here is E010.
_IDS = {
    "URL": "E003",
    "QUEUES": "E004",
    "TIMEOUT": "E006",
    "RESULT_TTL": "E006",
    "LEASE": "E006",
    "CACHE": "E008",
    "KEEP": "E009",
}
