"""The limit of memory, where no process can keep it."""

from __future__ import annotations

import logging

from .memory import FRESH_RSS, Board

logger = logging.getLogger("redisjobs.worker")


class MemoryLimit:
    """One for all processes of a worker, so that people are told once."""

    def __init__(self, limit: int | None) -> None:
        """``limit``: bytes; None for none."""
        self._limit = limit

    def look_at(self, board: Board) -> None:
        """Warn if that process held more than it may before it had run anything."""
        fresh = board.cells[FRESH_RSS]
        if self._limit is None or fresh <= self._limit:
            return
        logger.warning(
            "A process may hold %.1f MB, and holds %.1f MB before it has run anything: "
            "each is replaced after its first jobs. Choose a higher limit.",
            self._limit / 1e6,
            fresh / 1e6,
        )
        self._limit = None
