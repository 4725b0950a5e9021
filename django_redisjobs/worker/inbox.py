"""What a child has claimed and not started.

A pipe decides who starts a job or hands it back: each record has exactly one
reader, be it the main thread, another thread, the loop's, the keeper, or the supervisor
when the whole process is stuck. The jobs themselves stay in the child. What the main
thread takes next in any case, or has to take first, stays out of the pipe.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from django_redisjobs.core.settlements import Claimed

    from .stations import Station

RECORD_BYTES: Final = 8
# A write of at most this many bytes is never torn (POSIX's least PIPE_BUF is 512).
_RECORDS_PER_WRITE: Final = 512 // RECORD_BYTES

# ``read(2)`` by somebody who keeps the interpreter's lock. ``os.read`` gives it up, though
# nobody ever waits on this pipe: whichever thread wants it is woken then, and finds it
# taken again, job after job. That cost a tenth of the rate of jobs that do nothing.
_read_keeping_lock: Final = ctypes.PyDLL(None).read
_Record: Final = ctypes.c_uint64.__ctype_le__ * 1
_RECORD_SIZE: Final = ctypes.c_size_t(RECORD_BYTES)

Entry: TypeAlias = "tuple[int, Claimed, Station]"


@dataclass(frozen=True, slots=True)
class Announced:
    """In place of jobs: the claim of that code is under way, and who reads this owns
    what comes.
    """

    code: int


def open_pipe() -> tuple[int, int]:
    """Both ends of an inbox; nobody ever blocks on it."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


def read_code(descriptor: int) -> int:
    """Take one record; 0 when there is none."""
    record = _Record()
    if _read_keeping_lock(descriptor, record, _RECORD_SIZE) == RECORD_BYTES:
        return record[0]
    # There is none, or something is wrong: this says which.
    try:
        return int.from_bytes(os.read(descriptor, RECORD_BYTES), "little")
    except BlockingIOError:
        return 0


def drain(descriptor: int) -> list[int]:
    """Take all records that are there, in order."""
    codes = []
    while code := read_code(descriptor):
        codes.append(code)
    return codes


class Inbox:
    """The child's side. Any thread may take."""

    __slots__ = (
        "_emptied",
        "_entries",
        "_kept",
        "_puts",
        "_read",
        "_write",
        "filled_at",
    )

    def __init__(self, pipe: tuple[int, int]) -> None:
        self._read, self._write = pipe
        self._entries: dict[int, Entry | Announced] = {}
        # How often something was put in, and as of which time all had been taken.
        self._puts = 0
        self._emptied = 0
        # Codes of what is not in the pipe; none most of the time.
        self._kept: list[int] = []
        self.filled_at = 0.0

    def __contains__(self, code: int) -> bool:
        return code in self._entries

    def __len__(self) -> int:
        """How many were put and not taken; what others took is still counted."""
        return len(self._entries)

    @property
    def stock(self) -> int:
        """How many there are to take, as far as this side has seen."""
        return 0 if self._emptied == self._puts else len(self._entries)

    def put(self, entries: Sequence[Entry], *, taken_next: bool = False) -> int:
        """Offer jobs to whoever runs them; gives how many.

        ``taken_next``: by the caller. Then one job alone, behind which nobody waits,
        wakes no supervisor.
        """
        self._puts += 1
        self.filled_at = monotonic()
        keeps = taken_next and len(entries) == 1 and not self._entries
        codes = [entry[0] for entry in entries]
        self._entries.update(zip(codes, entries, strict=True))
        if keeps:
            self._kept += codes
            return 1
        for first in range(0, len(codes), _RECORDS_PER_WRITE):
            chunk = codes[first : first + _RECORDS_PER_WRITE]
            os.write(self._write, struct.pack(f"<{len(chunk)}Q", *chunk))
        return len(codes)

    def announce(self, code: int) -> None:
        """Behind all jobs: a claim is under way. It goes before its answer is known."""
        self._entries[code] = Announced(code)
        os.write(self._write, code.to_bytes(RECORD_BYTES, "little"))

    def lay_back(self, entry: Entry | Announced) -> int:
        """The first again, in this process: who took this is not the one to run it.
        Gives its code.
        """
        code = entry.code if isinstance(entry, Announced) else entry[0]
        self._puts += 1
        self._entries[code] = entry
        self._kept.append(code)
        return code

    def take(self) -> Entry | Announced | None:
        """One job that is the caller's alone now; None when there is none."""
        puts = self._puts
        while code := self._pop_kept() or read_code(self._read):
            entry = self._entries.pop(code, None)
            if entry is not None:
                return entry
        # Others may have taken what is still counted.
        self._emptied = puts
        return None

    def _pop_kept(self) -> int:
        try:
            return self._kept.pop() if self._kept else 0
        except IndexError:
            # Another thread was between the look and the pop as well.
            return 0

    def take_all(self) -> list[Entry]:
        """All jobs; what was announced is the caller's as well."""
        entries: list[Entry] = []
        while (entry := self.take()) is not None:
            if not isinstance(entry, Announced):
                entries.append(entry)
        return entries

    def clear(self) -> None:
        """None of this is held any more, nor what others took."""
        drain(self._read)
        self._kept.clear()
        self._entries.clear()

    def forget(self, codes: Collection[int]) -> None:
        """These are held by this worker no more: whoever reads them skips them."""
        for code in codes:
            self._entries.pop(code, None)
