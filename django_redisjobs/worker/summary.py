"""How many jobs ended, and how: for people, once a minute."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from .logs import duration
from .memory import FAILED, RETRIED, SUCCEEDED, Board

logger = logging.getLogger("redisjobs.worker")

SUMMARY_SECONDS: Final = 60.0
_COUNTED: Final = (SUCCEEDED, FAILED, RETRIED)


class Summary:
    """Of all processes of a worker, also those that are gone."""

    def __init__(self, now: float) -> None:
        self._next_at = now + SUMMARY_SECONDS
        self._told = [0, 0, 0]
        self._past = [0, 0, 0]

    def keep(self, board: Board) -> None:
        """Its process is dead, and its successor begins at nothing."""
        _add(self._past, board)

    def tell(self, now: float, boards: Iterable[Board]) -> None:
        """If it is time, and something ended. ``boards``: of those who live."""
        if now < self._next_at:
            return
        self._next_at = now + SUMMARY_SECONDS
        counts = list(self._past)
        for board in boards:
            _add(counts, board)
        done, failed, retried = (
            count - before for count, before in zip(counts, self._told, strict=True)
        )
        self._told = counts
        if done or failed or retried:
            logger.info(
                "In the last %s: %d succeeded, %d to be retried, %d failed.",
                duration(SUMMARY_SECONDS),
                done,
                retried,
                failed,
            )


def _add(counts: list[int], board: Board) -> None:
    for place, cell in enumerate(_COUNTED):
        counts[place] += int(board.cells[cell])
