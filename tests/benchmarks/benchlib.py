"""What a job does: it touches one byte, or one double, of a shared mapped file.

That costs less than a microsecond, works across processes, and sends nothing to
Redis, so what the server counts is the package's own.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import time

URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/0")
OPTS = json.loads(os.environ.get("BENCH_OPTS") or "{}")
IO_SLEEP = OPTS.get("sleep", 0.05)

_pack = struct.Struct("d").pack_into


def _mapped(name: str) -> mmap.mmap | None:
    path = os.environ.get(name)
    if not path:
        return None
    descriptor = os.open(path, os.O_RDWR)
    return mmap.mmap(descriptor, 0)


MARKS = _mapped("BENCH_MARKS")
STAMPS = _mapped("BENCH_STAMPS")


def mark(i: int) -> None:
    """Count job ``i`` as executed; 2 means that it ran twice."""
    assert MARKS is not None
    MARKS[i] = (MARKS[i] + 1) & 255


def stamp(i: int, sent: float) -> None:
    """Note how long ago job ``i`` was sent, in seconds; with 0 what time it is."""
    assert STAMPS is not None
    _pack(STAMPS, i * 8, time.time() - sent)
    mark(i)
