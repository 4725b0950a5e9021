"""The types that JSON lacks: how each becomes plain JSON and comes back.

An Enum's class is looked up among the modules already loaded and never
imported: what is stored must not decide which code this process loads.
"""

from __future__ import annotations

import base64
import math
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from types import NoneType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from .exceptions import PayloadUnknown

PLAIN: frozenset[type] = frozenset({str, int, float, bool, NoneType})

# Python refuses to write or read decimal ints above a limit that each process may
# set, but not below 640 digits (2,126 bits). Hexadecimal has no limit.
_DECIMAL_BITS = 2_000

# A library that freezes time replaces the names ``datetime`` and ``date`` in each loaded
# module. What is within a tuple, or bound to a class, stays what it is.
_DATES = (datetime, date)
_read_datetime = datetime.fromisoformat


class Refused(Exception):
    """A value cannot be carried; gathers the path to it on the way up."""

    def __init__(self, reason: str, *, deep: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.deep = deep
        self.path: list[str] = []

    def describe(self, what: str = "") -> str:
        """``what``, the path and the reason; only the path's start if it is deep."""
        path = self.path[::-1]
        if self.deep:
            path = path[:1] if not what else []
        return f"{' '.join([what, *path]).strip()}: {self.reason}"


def type_name(value: object) -> str:
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def is_text(value: object) -> bool:
    """Whether a str is valid Unicode; True for anything else."""
    if not isinstance(value, str) or value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def careful_plain(value: Any) -> object:
    """A value of a PLAIN type, tagged where JSON would lose or refuse it."""
    kind = type(value)
    if kind is str and not is_text(value):
        return {"$": "str", "v": _base64(value.encode(errors="surrogatepass"))}
    if kind is int and value.bit_length() > _DECIMAL_BITS:
        return {"$": "int", "v": hex(value)}
    if kind is float and not math.isfinite(value):
        return {"$": "float", "v": repr(value)}
    return value


def encode_relative(value: Any) -> dict[str, object] | None:
    """Enum members, and subclasses of date and datetime that are equal to those.

    A frozen clock in tests makes such dates; they come back as the plain type.
    None for all else.
    """
    if isinstance(value, Enum):
        return {"$": "Enum", "v": _encode_enum(value)}
    base = next((kind for kind in _DATES if isinstance(value, kind)), None)
    if base is None:
        return None
    encoded = LEAVES[base](value)
    same = value == DECODERS[base.__name__](encoded)
    return {"$": base.__name__, "v": encoded} if same else None


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _zoned(value: datetime | time) -> object:
    """ISO text, and the zone's name where there is one.

    An offset alone would change what arithmetic across a clock change gives.
    """
    zone = value.tzinfo
    if isinstance(zone, ZoneInfo) and zone.key:
        return [value.isoformat(), zone.key]
    if isinstance(value, time) and zone is not None and value.utcoffset() is None:
        raise Refused(
            "a time whose zone has no fixed offset. Pass a datetime, or the zone's "
            "name beside a naive time."
        )
    return value.isoformat()


def _decode_datetime(stored: Any) -> datetime:
    if isinstance(stored, str):
        return _read_datetime(stored)
    text, key = stored
    fixed = _read_datetime(text)
    local = fixed.replace(tzinfo=ZoneInfo(key))
    if local.utcoffset() != fixed.utcoffset():
        return local.replace(fold=1)
    return local


def _decode_time(stored: Any) -> time:
    if isinstance(stored, str):
        return time.fromisoformat(stored)
    text, key = stored
    return time.fromisoformat(text).replace(tzinfo=ZoneInfo(key))


def _encode_enum(member: Enum) -> list[object]:
    kind = type(member)
    path = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__ == "__main__" or _loaded_class(path) is not kind:
        raise Refused(
            f"a member of the Enum {path}, which a worker cannot find by that name. "
            "Define the Enum at the top of an importable module."
        )
    # A combination of flags has no name of its own.
    return [path, member.value if isinstance(member, Flag) else member.name]


def _decode_enum(stored: Any) -> Enum:
    """Raises PayloadUnknown for what another build of the project may have."""
    path, member = stored
    kind = _loaded_class(path)
    if not (isinstance(kind, type) and issubclass(kind, Enum)):
        raise PayloadUnknown(
            f"{path} is no Enum in a module that is loaded; import it in the module "
            "of the job function."
        )
    try:
        found: Enum = kind(member) if issubclass(kind, Flag) else kind[member]
    except (LookupError, ValueError) as error:
        raise PayloadUnknown(
            f"The Enum {path} has no member {member!r} in this build."
        ) from error
    return found


def _loaded_class(path: str) -> object:
    module, _, qualname = path.partition(":")
    found: object = sys.modules.get(module)
    for name in qualname.split("."):
        # Not getattr(): a module may have one that imports what it is asked for.
        found = getattr(found, "__dict__", {}).get(name)
    return found


LEAVES: dict[type, Callable[[Any], object]] = {
    datetime: _zoned,
    date: date.isoformat,
    time: _zoned,
    timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    Decimal: str,
    UUID: str,
    bytes: _base64,
}

DECODERS: dict[str, Callable[[Any], Any]] = {
    "str": lambda stored: base64.b64decode(stored).decode(errors="surrogatepass"),
    "int": lambda stored: int(stored, 16),
    "float": float,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "datetime": _decode_datetime,
    "date": date.fromisoformat,
    "time": _decode_time,
    "timedelta": lambda stored: timedelta(*stored),
    "Decimal": Decimal,
    "UUID": UUID,
    "bytes": base64.b64decode,
    "Enum": _decode_enum,
}
