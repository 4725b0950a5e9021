"""What a worker has settled lately: a failover may bring it back as held."""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from itertools import chain
from typing import Final

from .settlements import Fields

REMEMBERED: Final = 2_000
"""Settlements kept, or those of the newest call if they are more."""
REMEMBERED_BYTES: Final = 16_000_000
"""Characters of these, at most, or the newest settlement if it has more."""


class Settled:
    """Settlements as ``step`` takes them, call after call; the oldest are forgotten."""

    def __init__(self) -> None:
        self._calls: deque[tuple[list[Fields], int]] = deque()
        self._number = 0
        self._size = 0

    def __len__(self) -> int:
        return self._number

    def remember(self, settlements: list[Fields]) -> None:
        """Keep what one call settles."""
        if not settlements:
            return
        size, first = sum(map(len, chain.from_iterable(settlements))), 0
        while size > REMEMBERED_BYTES and first < len(settlements) - 1:
            size -= sum(map(len, settlements[first]))
            first += 1
        self._calls.append((settlements[first:], size))
        self._number += len(settlements) - first
        self._size += size
        while len(self._calls) > 1 and (
            len(self) > REMEMBERED or self._size > REMEMBERED_BYTES
        ):
            oldest, size = self._calls.popleft()
            self._number -= len(oldest)
            self._size -= size

    def find(self, tokens: Container[str]) -> dict[str, Fields]:
        """How the jobs of these tokens were settled, as far as is known."""
        found: dict[str, Fields] = {}
        for settlements, _ in self._calls:
            for settlement in settlements:
                token = settlement[1].partition(" ")[2]
                if token in tokens:
                    found[token] = settlement
        return found
