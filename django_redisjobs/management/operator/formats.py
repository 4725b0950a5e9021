"""How numbers, times and lengths of time look on a terminal, and how they are read."""

from __future__ import annotations

import json
import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_redisjobs.core.records import JobStatus
from django_redisjobs.core.texts import encodable
from django_redisjobs.durations import parse_duration
from django_redisjobs.queries import status_of
from django_redisjobs.snapshots import date_of

NOTHING: Final = "-"
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def number(value: int) -> str:
    """A count with its thousands apart."""
    return f"{value:,}"


def counted(count: int, noun: str) -> str:
    """``1 job``, ``2,000 jobs``, ``2 processes``, ``2 crashes``."""
    ending = "" if count == 1 else "es" if noun.endswith(("s", "sh")) else "s"
    return f"{number(count)} {noun}{ending}"


def age(seconds: float) -> str:
    """A length of time in the two units that fit: ``1d 4h``, ``2m 5s``, ``40 ms``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = int(seconds)
    for size, unit in _UNITS:
        if whole >= size:
            count, rest = divmod(whole, size)
            below, name = {86_400: (3_600, "h"), 3_600: (60, "m"), 60: (1, "s")}[size]
            part = rest // below
            return f"{count}{unit} {part}{name}" if part else f"{count}{unit}"
    return f"{whole} s"


def ago(epoch_ms: int, now_ms: int) -> str:
    """``5m ago``, or ``in 5m`` for what is still to come."""
    if not epoch_ms:
        return NOTHING
    seconds = (now_ms - epoch_ms) / 1000
    return f"{age(seconds)} ago" if seconds >= 0 else f"in {age(-seconds)}"


def clock(epoch_ms: int) -> str:
    """A stored time in the project's time zone; without the date when it is today's."""
    if not epoch_ms:
        return NOTHING
    local = timezone.localtime(date_of(epoch_ms))
    is_today = local.date() == timezone.localtime(datetime.now(UTC)).date()
    return f"{local:%H:%M:%S}" if is_today else f"{local:%Y-%m-%d %H:%M:%S}"


def harmless(text: str) -> str:
    """What jobs wrote, without the characters that would steer the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def shortened(text: str, width: int) -> str:
    """One line of at most ``width`` characters."""
    line = harmless(" ".join(text.split()))
    return line if len(line) <= width else f"{line[: max(0, width - 1)]}…"


def read_status(text: str) -> JobStatus:
    """A status of a command's argument. Raises ArgumentTypeError."""
    try:
        return status_of(text.lower())
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def read_id(text: str) -> str:
    """A job's id of a command's argument. Raises ArgumentTypeError."""
    if encodable(text) != text:
        raise ArgumentTypeError(f"{text!r} is no id: it is not UTF-8.")
    return text


def read_count(text: str) -> int:
    """A number of things, at least one. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number of 1 or more.")
    return int(text)


def read_duration(text: str) -> float:
    """Seconds of a command's argument. Raises ArgumentTypeError."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def read_time(text: str) -> datetime:
    """An aware time of a command's argument. Raises ArgumentTypeError.

    ISO 8601, or ``HH:MM`` for the next time the clock shows it. What names no time
    zone is in the project's.
    """
    if (when := _today_at(text)) is not None:
        return when if when > datetime.now(UTC) else when + timedelta(days=1)
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise ArgumentTypeError(
            f"{text!r} is no time. Write 2030-01-31T18:00, with +01:00 or Z for "
            "another time zone than the project's, or 18:00."
        )
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def _today_at(text: str) -> datetime | None:
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hour, minute = map(int, match.groups())
    now = timezone.localtime(datetime.now(UTC))
    return now.replace(hour=hour, minute=minute, second=0, microsecond=0)


def read_moment(text: str) -> datetime:
    """A time, or how long ago it was. Raises ArgumentTypeError.

    As ``read_time``, but ``HH:MM`` is the last time that the clock showed it.
    """
    if (when := _today_at(text)) is not None:
        return when if when <= datetime.now(UTC) else when - timedelta(days=1)
    try:
        return datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    except ValueError:
        pass
    try:
        return read_time(text)
    except ArgumentTypeError as error:
        raise ArgumentTypeError(
            f"{error} Or say how long ago it was: 90s, 5m, 1h, 7d."
        ) from None


def read_json(text: str) -> Any:
    """A value of a command's argument: JSON, or text that does not look like it.

    Raises ArgumentTypeError for text that begins as JSON does and is none.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        if text[:1] in ("[", "{", '"'):
            raise ArgumentTypeError(f"{text!r} is no JSON: {error}") from error
        return text


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON.")
