"""Reads REDISJOBS, collecting every problem instead of stopping at the first."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from django_redisjobs.conf import readers
from django_redisjobs.conf.values import QueueSettings, Settings
from django_redisjobs.core.records import DEFAULT_KEEP
from django_redisjobs.durations import parse_duration
from django_redisjobs.retries import Retry

# redis-py's connections know dozens, which nobody would read.
MOST_NAMED = 30


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
        # Not what it is: an address may have a password.
        message = f"REDISJOBS is of type {type(raw).__name__}, not a dict."
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
        outbox = self._get("OUTBOX", readers.boolean, False)
        return Settings(
            url=url,
            cache=self.raw.get("CACHE"),
            options=MappingProxyType(options),
            prefix=self._get("PREFIX", readers.prefix, "redisjobs"),
            queues=MappingProxyType(self._queues(outbox, url, options)),
            on_commit=self._get("ON_COMMIT", readers.on_commit, True),
            keep=self._get("KEEP", readers.keep, DEFAULT_KEEP),
            lease_ms=self._get("LEASE", readers.lease_ms, 30_000),
            max_crashes=self._get("MAX_CRASHES", readers.at_least_one, 3),
            max_payload=self._get("MAX_PAYLOAD", readers.size, 1024 * 1024),
            eager=self._get("EAGER", readers.boolean, False),
            autodiscover=self._get("AUTODISCOVER", readers.words, ("jobs", "tasks")),
            admin=self._get("ADMIN", readers.boolean, True),
            log_lines=self._get("LOG_LINES", readers.count, 100),
            stats_token=self._get("STATS_TOKEN", readers.token, None),
            outbox=outbox,
            redact=self._get("REDACT", readers.words, ()),
            signatures=self._get("SIGNING_KEYS", readers.signatures, None),
        )

    def _refuse_unknown(
        self, given: Mapping[str, Any], known: Collection[str], where: str
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
        """The URL, and the options of the client, those of a cache among them."""
        options = self._options()
        alias = self.raw.get("CACHE")
        if alias is None:
            url, found = self._get("URL", readers.place, ("embedded://", {}))
        else:
            url, found = self._cache(alias)
        self._check_fit(url, options)
        return url, found | options

    def _options(self) -> dict[str, Any]:
        options = dict(self._get("OPTIONS", readers.options, {}))
        known = readers.known_options()
        where = "REDISJOBS['OPTIONS']"
        self._refuse_unknown(options, known | {"sentinel_kwargs"}, where)
        sentinel = options.get("sentinel_kwargs", {})
        self._refuse_unknown(sentinel, known, f"{where}['sentinel_kwargs']")
        return options

    def _cache(self, alias: object) -> tuple[str, dict[str, Any]]:
        if "URL" in self.raw:
            self._problem("E008", "REDISJOBS has both URL and CACHE. Remove one.")
        elif not isinstance(alias, str) or alias not in self.caches:
            known = ", ".join(sorted(self.caches))
            is_address = any(mark in str(alias) for mark in ("://", "@"))
            given = "an address, not an alias" if is_address else repr(alias)
            self._problem("E008", f"REDISJOBS['CACHE'] is {given}; CACHES has {known}.")
        else:
            try:
                return readers.place(self.caches[alias])
            except (TypeError, ValueError) as error:
                self._problem("E008", f"REDISJOBS['CACHE'] is {alias!r}: {error}")
        return "embedded://", {}

    def _check_fit(self, url: str, options: Mapping[str, Any]) -> None:
        """Options that this kind of server cannot have."""
        scheme = url.partition("://")[0].lower()
        self._check_query(dict(parse_qsl(url.partition("?")[2])))
        of_tls = sorted(name for name in options if str(name).startswith("ssl"))
        wrong = ""
        if of_tls and scheme in ("unix", "embedded", "memory"):
            wrong = f"{of_tls[0]} is about TLS, which {scheme}:// has not. Remove it"
        elif of_tls and scheme == "redis" and not options.get("ssl"):
            wrong = f"{of_tls[0]} is about TLS. Write rediss:// in URL"
        elif options.get("db") and scheme == "cluster":
            wrong = "a Cluster has database 0 only. Remove db"
        elif "sentinel_kwargs" in options and scheme != "sentinel":
            wrong = f"sentinel_kwargs is for sentinel://, not {scheme}://. Remove it"
        if wrong:
            self._problem("E010", f"REDISJOBS['OPTIONS']: {wrong}.")

    def _check_query(self, query: Mapping[str, str]) -> None:
        known = readers.known_options(urls=True)
        # from_env() has taken out those keys of REDISJOBS that a URL can hold.
        own = {name for name in query.keys() - known if name.upper() in _KEYS}
        for name in sorted(own):
            message = f"The key {name!r} cannot be given in the URL."
            hint = f"Put {name.upper()} into REDISJOBS."
            self.problems.append(Problem("E002", message, hint))
        others = {name: query[name] for name in query if name not in own}
        self._refuse_unknown(others, known, "The URL")

    def _queues(
        self, outbox: bool, url: str, options: Mapping[str, Any]
    ) -> dict[str, QueueSettings]:
        defaults = {
            "TIMEOUT": self._get("TIMEOUT", readers.timeout, 300.0),
            "RETRY": self._get("RETRY", Retry.of, Retry()),
            "RESULT_TTL": self._get("RESULT_TTL", parse_duration, 3600.0),
            "OUTBOX": outbox,
            "DURABLE": self._get("DURABLE", readers.durability, None),
            "GROUP": "default",
        }
        given = self._get("QUEUES", readers.by_name, {"default": {}})
        known = {name: own for name, own in given.items() if self._usable(name, own)}
        queues = {name: self._queue(name, own, defaults) for name, own in known.items()}
        self._check_patience(queues.values(), options)
        if url.startswith("memory:"):
            # Nothing of it outlives the process.
            queues = {
                name: replace(each, durable=None) for name, each in queues.items()
            }
        return queues

    def _check_patience(
        self, queues: Iterable[QueueSettings], options: Mapping[str, Any]
    ) -> None:
        """Who waits for replicas has to wait for the answer as long."""
        seconds = options.get("socket_timeout")
        if not isinstance(seconds, int | float):
            return
        if any(each.durable_ms >= seconds * 1000 for each in queues):
            self._problem(
                "E014",
                "DURABLE may wait longer than the socket_timeout in OPTIONS, "
                f"{seconds:g} s. Raise that, or lower its TIMEOUT.",
            )

    def _usable(self, name: object, own: object) -> bool:
        if not readers.is_queue_name(name):
            rule = f"a queue's name is {readers.NAME_RULE}."
            self._problem("E005", f"REDISJOBS['QUEUES'] has {name!r}: {rule}")
            return False
        if not isinstance(own, Mapping):
            message = f"REDISJOBS['QUEUES'][{name!r}] is {own!r}, not a dict."
            self._problem("E004", message)
            return False
        return True

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


def _nearest(key: object, known: Collection[str]) -> str:
    # Settings are in capitals, the options of a client are not.
    near = difflib.get_close_matches(
        str(key).upper(), known, n=1, cutoff=0.6
    ) or difflib.get_close_matches(str(key).lower(), known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    if len(known) > MOST_NAMED:
        return "Choose options of redis-py's connections, in lower case."
    return f"Known keys: {', '.join(sorted(known))}."


_QUEUE_READERS: Mapping[str, Callable[[Any], Any]] = {
    "TIMEOUT": readers.timeout,
    "RETRY": Retry.of,
    "RESULT_TTL": parse_duration,
    "GROUP": readers.group,
    "OUTBOX": readers.boolean,
    "DURABLE": readers.durability,
}
_KEYS = frozenset(
    {
        *("URL", "CACHE", "OPTIONS", "PREFIX", "QUEUES", "ON_COMMIT", "TIMEOUT"),
        *("RETRY", "RESULT_TTL", "KEEP", "LEASE", "MAX_CRASHES", "MAX_PAYLOAD"),
        *("OUTBOX", "DURABLE", "REDACT", "SIGNING_KEYS", "EAGER", "AUTODISCOVER"),
        *("ADMIN", "LOG_LINES", "STATS_TOKEN"),
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
    "SIGNING_KEYS": "E013",
    "DURABLE": "E014",
}
