"""What a worker has settled lately: a failover may bring it back as held."""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from typing import Any, Final

from .scripts import Command

REMEMBERED: Final = 2_000
"""Settlements kept, or those of the newest call if they are more."""
REMEMBERED_BYTES: Final = 16_000_000
"""Characters of these settlements, at most, or the newest one if it has more."""
FIELDS: Final = 7
"""Of each settlement, as ``step`` takes them."""


class Settled:
    """Settlements as their fields, call after call; the oldest are forgotten."""

    def __init__(self) -> None:
        self._calls: deque[tuple[list[Any], int]] = deque()
        self._fields = 0
        self._size = 0

    def __len__(self) -> int:
        return self._fields // FIELDS

    def remember(self, fields: list[Any]) -> None:
        """Keep what one call settles."""
        if not fields:
            return
        size = _size(fields)
        while size > REMEMBERED_BYTES and len(fields) > FIELDS:
            fields = fields[FIELDS:]
            size = _size(fields)
        self._calls.append((fields, size))
        self._fields += len(fields)
        self._size += size
        while len(self._calls) > 1 and (
            len(self) > REMEMBERED or self._size > REMEMBERED_BYTES
        ):
            oldest, size = self._calls.popleft()
            self._fields -= len(oldest)
            self._size -= size

    def find(self, tokens: Container[str]) -> dict[str, Command]:
        """How the jobs of these tokens were settled, as far as is known."""
        found: dict[str, Command] = {}
        for fields, _ in self._calls:
            for first in range(0, len(fields), FIELDS):
                settlement = tuple(fields[first : first + FIELDS])
                kind, entry = settlement[:2]
                token = entry.partition(" ")[2]
                if kind != "note" and token in tokens:
                    found[token] = settlement
        return found


def _size(fields: list[Any]) -> int:
    # What people wrote is in the last three: attempt, tail and result.
    return sum(sum(map(len, fields[place::FIELDS])) for place in (4, 5, 6))
