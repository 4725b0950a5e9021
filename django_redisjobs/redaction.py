"""Keeping chosen values from people's eyes: what ``REDISJOBS["REDACT"]`` names.

Values stay what they are for jobs; pages, lists and texts show ``HIDDEN`` instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from inspect import Parameter
from itertools import chain, repeat
from typing import Any, Final
from urllib.parse import quote, quote_plus

from django_redisjobs import conf, registry
from django_redisjobs.core.payload import Body, parse_body
from django_redisjobs.exceptions import PayloadMalformed, RedisJobsError
from django_redisjobs.serialization import snapshot_codec

HIDDEN: Final = "[hidden]"

# Anything shorter would be found by chance in any text.
_SHORTEST: Final = 4
# And of a text of several lines.
_SHORTEST_LINE: Final = 8

Test = Callable[[str], bool]


def redacted(body: Body) -> Body:
    """A parsed body as people may see it.

    Hidden are arguments whose names REDACT has, and within arguments the values of
    such keys. Positional arguments of a function that this process cannot find have
    no names: all of them are hidden.
    """
    patterns = conf.get_settings().redact
    if not patterns:
        return body
    is_hidden = _test(patterns, body.function)
    args = [
        HIDDEN if name is None or is_hidden(name) else _without(value, is_hidden)
        for name, value in zip(names_of(body), body.args, strict=False)
    ]
    return replace(body, args=args, kwargs=_without_keys(body.kwargs, is_hidden))


def redacted_value(function: str, value: Any) -> Any:
    """A result, or what a job noted, without the values of keys that REDACT has.

    ``value`` is JSON as it is stored.
    """
    patterns = conf.get_settings().redact
    return _without(value, _test(patterns, function)) if patterns else value


def discreet(text: str, body: str) -> str:
    """A text, of an exception say, without the values that ``redacted`` hides of a body
    as it is stored. One that nobody can read has no values to look for. Never raises.
    """
    patterns = conf.get_settings().redact
    if not patterns:
        return text
    words = _words_of(patterns, body)
    if words is None:
        return HIDDEN
    for word in words:
        if len(word) <= len(text):
            text = text.replace(word, HIDDEN)
    return text


# A job that logs much asks for each line. No more are kept: of a large body they are
# several times as large.
@lru_cache(maxsize=1)
def _words_of(patterns: tuple[str, ...], body: str) -> tuple[str, ...] | None:
    """As what the values may stand in a text, the longest first: one may be a part of
    another. None where they cannot be told.
    """
    try:
        return tuple(sorted(_words(patterns, parse_body(body)), key=len, reverse=True))
    except PayloadMalformed:
        return ()
    except Exception:  # noqa: BLE001 - of values that others have made up
        return None


def _words(patterns: tuple[str, ...], body: Body) -> set[str]:
    is_hidden = _test(patterns, body.function)
    hidden = [
        value
        for name, value in zip(names_of(body), body.args, strict=False)
        if name is None or is_hidden(name)
    ]
    shown = [*body.args, body.kwargs]
    values = chain(
        _leaves(hidden), *(_hidden_leaves(each, is_hidden) for each in shown)
    )
    return {form for value in values for form in _forms(value)}


def unreadable(text: str) -> str:
    """What could not be understood, or HIDDEN: where REDACT names something, who knows
    what stands in there.
    """
    return HIDDEN if conf.get_settings().redact else text


@lru_cache(maxsize=1024)
def _test(patterns: tuple[str, ...], function: str) -> Test:
    wanted = [pattern.lower() for pattern in patterns]
    prefix = f"{function}.".lower()

    @lru_cache(maxsize=256)
    def is_hidden(name: str) -> bool:
        name = name.lower()
        return any(
            fnmatchcase(name, pattern) or fnmatchcase(prefix + name, pattern)
            for pattern in wanted
        )

    return is_hidden


def names_of(body: Body) -> Iterator[str | None]:
    """The parameters that positional arguments fill; None where nobody knows."""
    try:
        signature = registry.resolve(body.function).signature
    except RedisJobsError:
        return repeat(None)
    rest = None
    names = []
    for parameter in signature.parameters.values():
        if parameter.kind is Parameter.VAR_POSITIONAL:
            rest = parameter.name
        elif parameter.kind in (
            Parameter.POSITIONAL_ONLY,
            Parameter.POSITIONAL_OR_KEYWORD,
        ):
            names.append(parameter.name)
    return chain(names, repeat(rest))


def _without(value: Any, is_hidden: Test) -> Any:
    """JSON without what is to be hidden; its tags (``"$"``) stay as they are."""
    if isinstance(value, list):
        return [_without(each, is_hidden) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("$") == "dict" and isinstance(value.get("v"), list):
        return {**value, "v": [_pair(each, is_hidden) for each in value["v"]]}
    if "$" in value:
        return {**value, "v": _without(value.get("v"), is_hidden)}
    return _without_keys(value, is_hidden)


def _without_keys(value: dict[str, Any], is_hidden: Test) -> dict[str, Any]:
    return {
        key: HIDDEN if is_hidden(key) else _without(each, is_hidden)
        for key, each in value.items()
    }


def _pair(pair: Any, is_hidden: Test) -> Any:
    """An item of a dict whose keys are not all text."""
    if not (isinstance(pair, list) and len(pair) == 2):
        return pair
    key, value = pair
    if isinstance(key, str) and is_hidden(key):
        return [key, HIDDEN]
    return [key, _without(value, is_hidden)]


def _hidden_leaves(value: Any, is_hidden: Test) -> Iterator[Any]:
    if isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and is_hidden(value[0]):
            yield from _leaves(value[1])
        for each in value:
            yield from _hidden_leaves(each, is_hidden)
    elif isinstance(value, dict):
        for key, each in value.items():
            found = _leaves(each) if is_hidden(key) else _hidden_leaves(each, is_hidden)
            yield from found


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, dict):
        if isinstance(value.get("v"), str):
            # Stored otherwise than it is seen: bytes, say, or a time.
            with suppress(Exception):  # a project's own codecs raise anything
                yield snapshot_codec.restore(value)
        for key, each in value.items():
            if key != "$":
                yield from _leaves(each)
    elif value is not None and not isinstance(value, bool):
        yield value


def _forms(value: Any) -> Iterator[str]:
    """How a value may stand in a text: as it is, quoted, in an address, in JSON, and
    line by line where something stands before each.
    """
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - of a project's own types, and of ints too long
        return
    forms = {text}
    if isinstance(value, bytes):
        forms = {repr(value)[2:-1], value.decode(errors="replace")}
    elif isinstance(value, str):
        forms |= {repr(text)[1:-1], json.dumps(text)[1:-1]}
        forms |= {json.dumps(text, ensure_ascii=False)[1:-1]}
        # What UTF-8 cannot carry is carried by jobs.
        raw = text.encode("utf-8", "surrogatepass")
        forms |= {quote(raw), quote(raw, safe=""), quote_plus(raw)}
        if len(lines := text.splitlines()) > 1:
            forms |= {line for line in lines if len(line) >= _SHORTEST_LINE}
    for form in forms:
        if len(form) >= _SHORTEST:
            yield form
