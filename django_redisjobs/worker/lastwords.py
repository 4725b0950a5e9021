"""The last lines that a job logs, kept where they outlive its process."""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from django_redisjobs.redaction import discreet

from .memory import TAIL_BYTES

if TYPE_CHECKING:
    from django_redisjobs.core.records import LogLine

    from .memory import Board

LONGEST_LINE: Final = 500
"""Characters of one line."""


class LastWords:
    """What one job has logged, as much of it as fits."""

    __slots__ = ("_board", "_body", "_lines", "_size", "_slot", "_writing")

    def __init__(self, board: Board, slot: int, body: str) -> None:
        self._board = board
        self._slot = slot
        self._body = body
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._writing = threading.Lock()

    def add(self, line: LogLine) -> None:
        """From any thread; a line is left out where two come at the same moment."""
        at_ms, level, logger, text = line
        # Before it is cut: half a secret would not be found.
        text = discreet(text, self._body)[:LONGEST_LINE]
        encoded = json.dumps((at_ms, level, logger, text), separators=(",", ":"))
        # Never waited for: a handler of signals may log in the middle of this.
        if not self._writing.acquire(blocking=False):
            return
        try:
            self._keep(encoded.encode())
        finally:
            self._writing.release()

    def _keep(self, encoded: bytes) -> None:
        self._lines.append(encoded)
        self._size += len(encoded) + 1
        while self._size > TAIL_BYTES:
            self._size -= len(self._lines.popleft()) + 1
        self._board.write_tail(self._slot, b",".join(self._lines))
