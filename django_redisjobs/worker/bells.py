"""A bell wakes a thread that waits in poll: a pipe that never fills up."""

from __future__ import annotations

import contextlib
import os
import select
from time import monotonic
from typing import Final

_ALMOST: Final = 0.99


class Bell:
    """Rung from any thread or signal handler, heard through its ``fileno``."""

    __slots__ = ("_read", "_write")

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        return self._read

    def ring(self) -> None:
        # Full means that it rings already.
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"\0")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._read, 4096)) == 4096:
                pass

    def wait(self, seconds: float) -> bool:
        """Sleep until it rings, at most so long; True when it rang."""
        rang = bool(poll([self._read], seconds))
        if rang:
            self.clear()
        return rang

    def __del__(self) -> None:
        # Not before: whoever still holds it may ring it.
        os.close(self._read)
        os.close(self._write)


def poll(descriptors: list[int], seconds: float | None) -> set[int]:
    """Those of the descriptors that can be read, after at most so long."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    # Rounded up: rounding down would spin through the last millisecond.
    limit = None if seconds is None else max(0, -int(-seconds * 1000 // 1))
    return {descriptor for descriptor, _ in poller.poll(limit)}


def poll_exactly(descriptors: list[int], seconds: float) -> set[int]:
    """As ``poll``, for who has to be back in time after a long while.

    Linux may let a wait be late by a thousandth of its length, that of a niced process by
    five (``select_estimate_accuracy`` in fs/select.c): so the last of it is waited anew.
    """
    end = monotonic() + seconds
    ready = poll(descriptors, _ALMOST * seconds)
    return ready or poll(descriptors, max(0.0, end - monotonic()))
