"""Where Redis is: the forms in which settings give it, and what they say."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from redis import connection

SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "embedded",
    "sentinel",
    "cluster",
    "memory",
)
# Those of one server on a network or a socket, as caches have them.
SERVER_SCHEMES = ("redis", "rediss", "unix")
# Those that name hosts; with the port that is meant where there is none.
_PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379, "cluster": 6379}


class Host(NamedTuple):
    """A name or an address, and a port."""

    name: str
    port: int

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """A checked URL. Its text form names the server without any password.

    ``hosts``: the server; several for the sentinels, and for the first nodes to
    ask in a Cluster. ``path``: a socket, or the embedded server's folder.
    ``service``: the name by which sentinels know the server.
    """

    url: str
    scheme: str
    hosts: tuple[Host, ...] = ()
    path: str = ""
    service: str = ""

    def __str__(self) -> str:
        if self.scheme in ("unix", "embedded"):
            return f"{self.scheme}://{self.path}"
        hosts = ",".join(map(str, self.hosts))
        if self.scheme in ("redis", "rediss"):
            return hosts
        return f"{self.scheme}://{hosts}{'/' if self.service else ''}{self.service}"

    @classmethod
    def parse(cls, url: str) -> Address:
        """Take a URL apart.

        Raises:
            ValueError: it is none that this package can open; the message names
                the choices and never a password.
        """
        scheme, separator, rest = url.partition("://")
        scheme = scheme.lower()
        if not separator or scheme not in SCHEMES:
            raise ValueError(_unknown_scheme(scheme if separator else ""))
        if scheme == "memory":
            return cls(url, scheme)
        if scheme == "embedded":
            return cls(url, scheme, path=unquote(rest.partition("?")[0]))
        _check_end(url)
        parts = _split(url)
        if scheme == "unix":
            # In unix://run/a.sock the first folder would be taken for a host.
            path = "" if parts.hostname else unquote(parts.path)
            return cls(url, scheme, path=_socket_path(path))
        names = parts.netloc.rpartition("@")[2].split(",")
        several = scheme in ("sentinel", "cluster")
        if len(names) > 1 and not several:
            raise ValueError(
                f"it names {len(names)} hosts. Several are for sentinel:// and cluster://."
            )
        hosts = tuple(_host(name, _PORTS[scheme], needed=several) for name in names)
        service, database = "", parts.path
        if scheme == "sentinel":
            service, database = _service(parts.path)
        _check_database(database, alone=scheme == "cluster")
        return cls(url, scheme, hosts, service=service)

    @property
    def server_url(self) -> str:
        """A URL that redis-py reads: the credentials, the database and the options
        of a server, whatever its host.
        """
        parts = urlsplit(self.url)
        user, at, _ = parts.netloc.rpartition("@")
        scheme = self.scheme if self.scheme in SERVER_SCHEMES else "redis"
        path = parts.path
        if self.scheme == "unix":
            return self.url
        if self.scheme == "sentinel":
            path = path.strip("/").partition("/")[2]
        query = f"?{parts.query}" if parts.query else ""
        name, port = self.hosts[0]
        host = f"[{name}]" if ":" in name else name
        return f"{scheme}://{user}{at}{host}:{port}/{path.strip('/')}{query}"

    @property
    def database(self) -> int | None:
        """The number that the URL gives, as redis-py reads it; None if it gives none."""
        if not self.hosts and self.scheme != "unix":
            return None
        read: Any = connection.parse_url
        found: int | None = read(self.server_url).get("db")
        return found


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        # Python's own message shows what it took for the host, and that may be a part
        # of the password.
        raise ValueError(
            "it cannot be taken apart. (In a password write %5B for [, %5D for ], and so "
            "on: urllib.parse.quote(password, safe='') gives it whole.)"
        ) from None


def _check_end(url: str) -> None:
    """Refuse what a password seems to have cut off, the host with it: what is before
    that in the password, after an '@', would be taken for the host, and shown.
    """
    options = filter(None, url.partition("?")[2].split("&"))
    if "#" in url or not all("=" in each for each in options):
        raise ValueError(
            "it has a '#', or a '?' that no name=value follows. (In a password write %23 "
            "for #, %2F for /, %3F for ? and %40 for @.)"
        )


def _unknown_scheme(scheme: str) -> str:
    near = difflib.get_close_matches(scheme, SCHEMES, n=1)
    hint = f" Did you mean {near[0]}://?" if near else ""
    return (
        f"it starts with {scheme + '://' if scheme else 'no scheme'}; choose one of "
        f"{', '.join(f'{name}://' for name in SCHEMES)}.{hint}"
    )


def _socket_path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("write a socket as unix:///path/to/its.sock")
    return path


def _host(text: str, default_port: int, *, needed: bool) -> Host:
    if needed and not text:
        raise ValueError("it names no host. Write host:port,host:port.")
    parts = _split(f"//{text}")
    name = parts.hostname or "localhost"
    _check_name(name)
    try:
        return Host(name, parts.port or default_port)
    except ValueError:
        # Python's own message shows what it took for the port: with an unquoted '/' in
        # the password, that is a part of the password.
        raise ValueError(
            "its port is not a number. (In a password write %2F for /, %3F for ? and "
            "%40 for @.)"
        ) from None


def _check_name(name: str) -> None:
    try:
        # As sockets do it, and redis-py before it asks them.
        unquote(name).encode("idna")
    except UnicodeError:
        # Not what it is: with an unquoted '/' or '?' it is a part of the password.
        raise ValueError(
            "its host is no name: each part of one, between dots, has 1 to 63 characters."
        ) from None


def _service(path: str) -> tuple[str, str]:
    service, _, database = path.strip("/").partition("/")
    if not service:
        raise ValueError(
            "it does not name the service that the sentinels watch. Write "
            "sentinel://host:26379,host:26379/service/0."
        )
    return unquote(service), database


def _check_database(path: str, *, alone: bool) -> None:
    number = path.strip("/")
    if number and not number.isdecimal():
        raise ValueError(
            "the part after the host has to be the number of a database, like /0. "
            "(In a password write %2F for /.)"
        )
    if alone and number not in ("", "0"):
        raise ValueError("a Cluster has database 0 only. Leave the number out.")


def url_text(value: object) -> str:
    """The URL in any form that settings give: text, or what django-environ makes
    of it with ``env.url`` (a ParseResult) or ``env.cache_url`` (a CACHES entry).

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, Mapping):
        return cache_location(value)[0]
    geturl = getattr(value, "geturl", None)
    if callable(geturl):
        return _repaired(url_text(geturl()))
    raise ValueError(
        f"a {type(value).__name__} {'without text ' if value == '' else ''}is no URL. "
        f"Give text like redis://localhost:6379/0, or leave URL out for the embedded "
        f"server."
    )


def _repaired(url: str) -> str:
    # A ParseResult writes an empty host as nothing at all: "embedded:", and
    # "unix:/run/redis.sock".
    scheme, colon, rest = url.partition(":")
    if colon and not rest.startswith("//") and scheme.lower() in SCHEMES:
        return f"{scheme}://{rest}"
    return url


def cache_location(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """URL and client options of an entry of CACHES.

    Of several locations the first is the one that takes writes. Options for the
    connections are taken over from wherever Django's own backend, and django-redis,
    have them; all others are about caching. A database that the URL gives counts first,
    as it does there.

    Raises:
        ValueError: the entry is no cache on Redis.
    """
    location = entry.get("LOCATION", "")
    if not isinstance(location, str):
        location = next(iter(location or ()), "")
    url = location.replace(";", ",").split(",")[0].strip()
    if url.partition("://")[0].lower() not in SERVER_SCHEMES:
        raise ValueError(
            "the cache's LOCATION is not a Redis URL. Name a cache on Redis, or set URL."
        )
    given = entry.get("OPTIONS") or {}
    named = {str(name).lower(): given[name] for name in given}
    found = {name: named[name] for name in named if _is_about_connections(name)}
    pool = named.get("connection_pool_kwargs") or {}
    found |= {name: pool[name] for name in pool if _is_about_connections(name)}
    if "db" in found and Address.parse(url).database is not None:
        del found["db"]
    return url, found


def _is_about_connections(name: str) -> bool:
    # Timeouts are left out: a cache's are a fraction of what a job queue wants.
    return name in ("username", "password", "db", "client_name") or (
        name.startswith("ssl_")
    )
