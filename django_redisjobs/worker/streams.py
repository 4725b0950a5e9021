"""Standard output and error, when they cannot be written: a full disk, a reader that is
gone.

What could not be written stays in their buffers and fails each later flush, that of
Python's at its end, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO


def flush_streams() -> list[TextIO]:
    """Write what is buffered; gives the streams that took no more."""
    return [each for each in (sys.stdout, sys.stderr) if not _flushed(each)]


def drop_unwritten(streams: Iterable[TextIO]) -> None:
    """Empty these buffers, written or not. What comes later is written as ever, if it
    can be. Nobody else may write to them meanwhile.
    """
    for stream in streams:
        # One that somebody has replaced may have no descriptor.
        with suppress(OSError, ValueError):
            _flush_to_nowhere(stream, stream.fileno())


def _flushed(stream: TextIO | None) -> bool:
    # None where the process was started without it.
    if stream is not None:
        try:
            stream.flush()
        except (OSError, ValueError):
            return False
    return True


def _flush_to_nowhere(stream: TextIO, descriptor: int) -> None:
    # There is no other way to empty a buffer than to have it written.
    kept = os.dup(descriptor)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
        stream.flush()
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
