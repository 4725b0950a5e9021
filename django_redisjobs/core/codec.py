"""Values as tagged JSON: what a job can carry, and what it refuses.

A value comes back equal and of the same type, or is refused before anything
is stored. Types that JSON lacks travel as ``{"$": tag, "v": ...}``; a dict of
the user's that looks like one travels as pairs, so the two never mix up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .exceptions import (
    PayloadMalformed,
    PayloadNotSerializable,
    PayloadUnknown,
    RedisJobsError,
    in_words,
)
from .tags import (
    DECODERS,
    LEAVES,
    PLAIN,
    Refused,
    careful_plain,
    encode_relative,
    is_text,
    type_name,
)

# Deeper values would pass the nesting limit of the servers' own JSON reader
# (1,000, of which one level of a tagged dict takes three).
MAX_DEPTH = 100

_CARRIED = (
    "None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, "
    "datetime, date, time, timedelta, Decimal, UUID, Enum members"
)
_STR = frozenset({str})
# What reading a well-formed tag with nonsense in it may raise.
_UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
_decode = json.JSONDecoder().raw_decode


def kept(encoder: json.JSONEncoder) -> Callable[[object], str]:
    """``encoder.encode``, with the part of it that is in C made once.

    json makes that part for each text, which takes longer than the text of most jobs.
    It does not document it: where it is not what is known here, ``encode`` it is.
    """
    try:
        pieces = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
            None,
            encoder.default,
            json.encoder.encode_basestring,
            None,
            encoder.key_separator,
            encoder.item_separator,
            encoder.sort_keys,
            encoder.skipkeys,
            encoder.allow_nan,
        )
    except (AttributeError, TypeError):
        return encoder.encode
    return lambda value: "".join(pieces(value, 0))


_encode = kept(
    json.JSONEncoder(
        ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
    )
)


@dataclass(frozen=True, slots=True)
class Extension:
    """A tag of the application's own, see Codec.register."""

    tag: str
    matches: Callable[[Any], bool]
    encode: Callable[[Any], object]


class Codec:
    """Values to text and back. Extend one before it is used, never after."""

    def __init__(self) -> None:
        self._extensions: list[Extension] = []
        self._refusals: list[tuple[Callable[[Any], bool], str]] = []
        self._decoders: dict[str, Callable[[Any], object]] = dict(DECODERS)
        self._carried = _CARRIED

    def register(
        self,
        tag: str,
        matches: Callable[[Any], bool],
        encode: Callable[[Any], object],
        decode: Callable[[Any], object],
        *,
        called: str = "",
    ) -> None:
        """Carry what ``matches``: ``encode`` makes plain JSON, ``decode`` reads it.

        ``encode`` raises ValueError with advice for a value that it cannot carry;
        what ``decode`` raises reaches the reader as it is. ``called`` names the kind
        of value in error messages.
        """
        if tag in self._decoders:
            raise ValueError(f"The tag {tag!r} is taken.")
        self._extensions.append(Extension(tag, matches, encode))
        self._decoders[tag] = decode
        if called:
            self._carried += f", {called}"

    def refuse(self, matches: Callable[[Any], bool], advice: str) -> None:
        """Say ``advice`` when a value that ``matches`` is refused."""
        self._refusals.append((matches, advice))

    def dumps(self, value: object, what: str = "value") -> str:
        """One line of JSON text.

        Raises:
            PayloadNotSerializable: says which part of ``what`` cannot be carried,
                of which type it is, and what to pass instead.
        """
        try:
            try:
                return to_json(self._tagged(value, 0, careful=False))
            except ValueError:
                return to_json(self._tagged(value, 0, careful=True))
        except Refused as refusal:
            raise PayloadNotSerializable(refusal.describe(what)) from None

    def loads(self, text: str) -> Any:
        """The value that ``dumps`` was given.

        Raises:
            PayloadMalformed: the text is no JSON, or a value in it is none of its type.
            PayloadUnknown: it names what this build lacks: a type, a member of an Enum.
        """
        return self.restore(parse_json(text)) if '"$"' in text else parse_json(text)

    def encode_call(
        self,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        names: Sequence[str],
        *,
        careful: bool,
    ) -> tuple[list[object], dict[str, object]]:
        """Arguments as plain JSON values. Raises Refused, which knows the place."""
        tagged_args: list[object] = []
        for place, value in enumerate(args):
            label = repr(names[place]) if place < len(names) else str(place + 1)
            tagged_args.append(self._argument(label, value, careful=careful))
        tagged_kwargs = {
            name: self._argument(repr(name), value, careful=careful)
            for name, value in kwargs.items()
        }
        return tagged_args, tagged_kwargs

    def _argument(self, label: str, value: object, *, careful: bool) -> object:
        try:
            return self._tagged(value, 0, careful=careful)
        except Refused as refusal:
            refusal.path.append(f"argument {label}")
            raise

    def _tagged(self, value: Any, depth: int, *, careful: bool) -> object:
        kind = type(value)
        if kind in PLAIN:
            return careful_plain(value) if careful else value
        if kind is list:
            return self._items(value, depth, careful=careful)
        if kind is dict:
            return self._mapping(value, depth, careful=careful)
        if kind in (tuple, set, frozenset):
            items = self._items(value, depth, careful=careful)
            return {"$": kind.__name__, "v": items}
        leaf = LEAVES.get(kind)
        if leaf is not None:
            return {"$": kind.__name__, "v": leaf(value)}
        return self._uncommon(value)

    def _items(self, items: Any, depth: int, *, careful: bool) -> list[object]:
        if depth < MAX_DEPTH and not careful and PLAIN.issuperset(map(type, items)):
            return list(items)
        _check_depth(items, depth)
        result: list[object] = []
        for place, item in enumerate(items):
            try:
                result.append(self._tagged(item, depth + 1, careful=careful))
            except Refused as refusal:
                refusal.path.append(f"item {place}")
                raise
        return result

    def _mapping(
        self, mapping: dict[Any, Any], depth: int, *, careful: bool
    ) -> dict[str, object]:
        _check_depth(mapping, depth)
        as_pairs = "$" in mapping or not _STR.issuperset(map(type, mapping))
        as_pairs = as_pairs or (careful and not all(map(is_text, mapping)))
        result: dict[str, object] = {}
        pairs: list[object] = []
        for key, value in mapping.items():
            try:
                item = self._tagged(value, depth + 1, careful=careful)
                if as_pairs:
                    pairs.append([self._tagged(key, depth + 1, careful=careful), item])
                else:
                    result[key] = item
            except Refused as refusal:
                refusal.path.append(f"key {_shortened(key)}")
                raise
        return {"$": "dict", "v": pairs} if as_pairs else result

    def _uncommon(self, value: Any) -> object:
        for extension in self._extensions:
            if extension.matches(value):
                try:
                    return {"$": extension.tag, "v": extension.encode(value)}
                except ValueError as error:
                    raise Refused(
                        f"object of type {type_name(value)}: {error}"
                    ) from None
        tagged = encode_relative(value)
        if tagged is not None:
            return tagged
        advice = next(
            (text for matches, text in self._refusals if matches(value)),
            "Pass one of those, or an id from which the job can load it.",
        )
        raise Refused(
            f"object of type {type_name(value)}, which a job cannot carry. "
            f"Jobs carry {self._carried}. {advice}"
        )

    def restore(self, value: Any) -> Any:
        """What plain JSON values with tags in them stand for."""
        kind = type(value)
        if kind is list:
            return [self.restore(item) for item in value]
        if kind is not dict:
            return value
        if "$" not in value:
            return {key: self.restore(item) for key, item in value.items()}
        tag = value["$"]
        decoder = self._decoders.get(tag) if type(tag) is str else None
        if decoder is None or "v" not in value:
            raise PayloadUnknown(
                f"A stored value has the tag {tag!r}, which this build does not know."
            )
        inner = self.restore(value["v"])
        if tag not in DECODERS:
            return decoder(inner)
        try:
            return decoder(inner)
        except RedisJobsError:
            raise
        except _UNREADABLE as error:
            raise PayloadMalformed(
                f"A stored {tag} cannot be read: {in_words(error)}"
            ) from error


def to_json(value: object) -> str:
    """JSON text that is valid UTF-8; raises ValueError otherwise."""
    text = _encode(value)
    if not text.isascii():
        text.encode()  # a lone surrogate raises UnicodeEncodeError, a ValueError
    return text


def parse_json(text: str) -> Any:
    try:
        value, end = _decode(text)
    except (ValueError, RecursionError) as error:
        raise PayloadMalformed(f"Stored text is not JSON: {error}") from error
    if end != len(text):
        raise PayloadMalformed("Stored text is not JSON: it goes on after its value.")
    return value


def _check_depth(container: object, depth: int) -> None:
    if depth < MAX_DEPTH:
        return
    if _contains_itself(container):
        raise Refused("a value that contains itself. Pass an id instead.", deep=True)
    raise Refused(
        f"nested deeper than {MAX_DEPTH} levels. Flatten it, or pass an id.", deep=True
    )


def _contains_itself(container: Any) -> bool:
    """Whether a walk down from ``container`` meets a container twice on one path."""
    path: set[int] = set()

    def meets(value: Any) -> bool:
        if not isinstance(value, list | tuple | dict | set | frozenset):
            return False
        if id(value) in path or len(path) > 3 * MAX_DEPTH:
            return id(value) in path
        path.add(id(value))
        found = any(map(meets, value.values() if type(value) is dict else value))
        path.discard(id(value))
        return found

    return meets(container)


def _shortened(key: object) -> str:
    text = repr(key)
    return text if len(text) <= 60 else text[:57] + "..."
