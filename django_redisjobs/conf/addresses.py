"""Where Redis is: the forms in which settings give it, and what they say."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "embedded",
    "sentinel",
    "cluster",
    "memory",
)
# What connections.py can open so far; the others have their place there.
WORKING_SCHEMES = ("redis", "rediss", "unix", "embedded")


@dataclass(frozen=True, slots=True)
class Address:
    """A checked URL. Its text form names the server without any password."""

    url: str
    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        if self.scheme in ("unix", "embedded"):
            return f"{self.scheme}://{self.path}"
        if self.scheme == "memory":
            return "memory://"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

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
        if scheme not in WORKING_SCHEMES:
            raise ValueError(
                f"{scheme}:// is not supported yet. "
                f"Use {', '.join(f'{name}://' for name in WORKING_SCHEMES)}."
            )
        path = unquote(rest.partition("?")[0])
        if scheme == "embedded":
            return cls(url, scheme, "", 0, path)
        parts = urlsplit(url)
        if scheme == "unix":
            # In unix://run/a.sock the first folder would be taken for a host.
            path = "" if parts.hostname else unquote(parts.path)
            return cls(url, scheme, "", 0, _socket_path(path))
        _check_database(parts.path)
        return cls(url, scheme, parts.hostname or "localhost", _port(parts), "")


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


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or 6379
    except ValueError:
        # Python's own message shows what it took for the port: with an unquoted
        # '#' or '/' in the password, that is a part of the password.
        raise ValueError(
            "its port is not a number. (In a password write %23 for #, %2F for /, "
            "%3F for ? and %40 for @.)"
        ) from None


def _check_database(path: str) -> None:
    number = path.strip("/")
    if number and not number.isdecimal():
        raise ValueError(
            "the part after the host has to be the number of a database, like /0. "
            "(In a password write %2F for /.)"
        )


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
        return url_text(geturl())
    raise ValueError(
        f"a {type(value).__name__} {'without text ' if value == '' else ''}is no URL. "
        f"Give text like redis://localhost:6379/0, or leave URL out for the embedded "
        f"server."
    )


def cache_location(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """URL and client options of an entry of CACHES.

    Of several locations the first is the one that takes writes.

    Raises:
        ValueError: the entry is no cache on Redis.
    """
    location = entry.get("LOCATION", "")
    if not isinstance(location, str):
        location = next(iter(location or ()), "")
    url = location.replace(";", ",").split(",")[0].strip()
    if url.partition("://")[0].lower() not in WORKING_SCHEMES:
        raise ValueError(
            "the cache's LOCATION is not a Redis URL. Name a cache on Redis, or set URL."
        )
    given = entry.get("OPTIONS") or {}
    named = {name.lower(): given[name] for name in given}
    known = ("username", "password", "db")
    return url, {name: named[name] for name in known if name in named}
