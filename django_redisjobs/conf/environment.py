"""REDISJOBS from one environment variable, read with django-environ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

from django_redisjobs.exceptions import ConfigurationError


class Env(Protocol):
    """The part of ``environ.Env`` that is used; the library is not imported."""

    def str(self, var: str, default: Any = ...) -> Any: ...


_WORDS = {"true": True, "1": True, "yes": True, "on": True}
_WORDS |= {"false": False, "0": False, "no": False, "off": False}


def _boolean(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(f"choose one of {', '.join(_WORDS)}")
    return _WORDS[text.lower()]


def _list(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _text(text: str) -> str:
    return text


def _timeout(text: str) -> str | None:
    return None if text.lower() == "none" else text


def _boolean_or_number(text: str) -> bool | int:
    # 0 replicas are nothing to wait for, and 1 is one, as in the settings.
    return int(text) or False if text.isdecimal() else _boolean(text)


def _boolean_or_alias(text: str) -> bool | str:
    return _WORDS.get(text.lower(), text)


# The keys that one line can hold. What else the URL has is left to the client.
_OPTIONS: dict[str, Callable[[str], Any]] = {
    "queues": _list,
    "timeout": _timeout,
    "retry": int,
    "result_ttl": _text,
    "prefix": _text,
    "on_commit": _boolean_or_alias,
    "lease": _text,
    "max_crashes": int,
    "max_payload": _text,
    "log_lines": int,
    "outbox": _boolean,
    "durable": _boolean_or_number,
    "eager": _boolean,
    "autodiscover": _list,
    "admin": _boolean,
}


def from_env(env: Env, variable: str = "REDISJOBS_URL") -> dict[str, Any]:
    """REDISJOBS from a URL in the environment, its query holding other keys.

    ``redis://localhost/0?queues=high,default,low&timeout=300`` becomes
    ``{"URL": "redis://localhost/0", "QUEUES": [...], "TIMEOUT": "300"}``.
    ``env`` is an ``environ.Env``. A variable that is not set gives ``{}``, which
    is the embedded server with its defaults.

    Raises:
        ConfigurationError: an option has a value of a wrong kind, or is given twice.
    """
    text = env.str(variable, default="")
    if not text:
        return {}
    base, _, query = text.partition("?")
    read: dict[str, Any] = {}
    rest = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if convert := _OPTIONS.get(name.lower()):
            key = name.upper()
            if key in read:
                raise ConfigurationError(
                    f"{variable}: the option {name} is given twice. Write it once; the "
                    "names of a list with commas between them."
                )
            try:
                read[key] = convert(value)
            except ValueError as error:
                raise ConfigurationError(
                    f"{variable}: the option {name}={value!r} is wrong: {error}."
                ) from error
        else:
            rest.append((name, value))
    return {"URL": f"{base}?{urlencode(rest)}" if rest else base, **read}
