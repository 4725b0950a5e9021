"""One child, as its supervisor sees it: its process, its board, its pipes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from math import inf
from typing import Final

from django_redisjobs.core.presence import Remains

from .forking import kill_group
from .inbox import drain, open_pipe
from .memory import BASE, DEADLINE, KEPT, Board, Running, new_base, token_of, worker_id
from .outcome import CANCEL, TIMEOUT
from .rescues import Overrun

LONGEST_TRACE: Final = 8_000
"""Bytes of what is kept of the stack of a process that crashed."""

HUNG: Final = "it hung outside of any job and was killed"

STALLED_SECONDS: Final = 60.0
"""So long a job may wait for its turn while nothing runs that could keep it waiting."""
LONG_SECONDS: Final = 1.0
"""What has run for as long may keep others waiting."""
HEARING_SECONDS: Final = 1.0
"""So soon a job ends that was cancelled while it waited for its turn."""


class Offspring:
    """Empty (``pid`` 0) until it is started; started anew after each death."""

    def __init__(self, number: int, board: Board, threads: int = 1) -> None:
        """``threads``: how many slots are not the event loop's."""
        self.number = number
        self.board = board
        self._threads = threads
        self.pid = 0
        self.control = -1
        self.inbox: tuple[int, int] = (-1, -1)
        # Where it writes its stack if a signal such as SIGSEGV ends it.
        self.trace = -1
        self.started_at = 0.0
        self.start_at = 0.0
        self.start_after = 0
        self.failed_starts = 0
        self.finished = False
        # Why we have killed it, if we have.
        self.killed_for: str = ""
        self.overrun: Overrun | None = None
        self._generation = 0
        self._cancelling: dict[tuple[int, int], float] = {}
        # Code of the job that waits although it is the first, and since when.
        self._stalled = (0, 0.0)

    @property
    def alive(self) -> bool:
        return self.pid != 0

    @property
    def base(self) -> int:
        return int(self.board.cells[BASE])

    @property
    def descriptors(self) -> tuple[int, ...]:
        found = (self.control, self.trace, *self.inbox)
        return tuple(each for each in found if each >= 0)

    def prepare(self) -> int:
        """Before a fork: a new identity and new pipes. Gives the child's end of the
        control pipe.
        """
        self.close()
        self.board.clear(new_base())
        self.inbox = open_pipe()
        self.trace = _open_nameless()
        theirs, self.control = os.pipe()
        os.set_blocking(self.control, False)
        self.killed_for, self.overrun = "", None
        self._generation = 0
        self._cancelling.clear()
        self._stalled = (0, 0.0)
        return theirs

    def began(self, pid: int, now: float) -> None:
        self.pid = pid
        self.started_at = now
        self.start_at = inf

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.control, self.trace, self.inbox = -1, -1, (-1, -1)

    def say(self, message: str) -> None:
        """Tell the child's keeper. A child that cannot listen is dealt with by time."""
        if self.alive:
            with contextlib.suppress(OSError):
                os.write(self.control, message.encode() + b"\n")

    def kill(self, reason: str) -> None:
        if self.alive and not self.killed_for:
            self.killed_for = reason
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            # What the job has started must not meet its next run.
            kill_group(self.pid)

    def steal(self) -> list[int]:
        """Take what the child has claimed and not started."""
        return drain(self.inbox[0])

    def running(self) -> list[Running]:
        """What runs under the id of now; older ids' jobs are others' by now."""
        generation = self.board.generation
        return [one for one in self.board.running() if one.generation == generation]

    def remains(self, one: Running) -> Remains:
        """What is left of a job that ran when the child died."""
        text = b"[%s]" % self.board.tail(one.slot)
        try:
            logs = text.decode() if json.loads(text) else ""
        except ValueError:
            logs = ""
        stack = os.pread(self.trace, LONGEST_TRACE, 0)
        return Remains(logs, stack.decode(errors="replace"))

    def left_behind(self) -> Iterator[str]:
        """Worker ids that the child has given up since this was last asked."""
        generation = self.board.generation
        for old in range(max(1, self._generation), generation):
            yield worker_id(self.base, old)
        self._generation = max(1, generation)

    @property
    def has_new_id(self) -> bool:
        return self.board.registered and self.board.generation > self._generation

    # Overrunning

    def cancel(self, entry: str, kill_at: float) -> None:
        """Somebody cancelled that attempt (``ID TOKEN``: tokens repeat from group to
        group): it may not run longer than that. What was said the first time holds.
        """
        for one in self.running():
            token = token_of(one.code, self.board.worker)
            # The board has room for the beginning of an id.
            if entry.startswith(one.job_id) and entry.endswith(f" {token}"):
                self._cancelling.setdefault((one.generation, one.code), kill_at)

    def find_overrun(self, now: float) -> Overrun | None:
        """The job that has run past its hard limit, if there is one."""
        running = {(one.generation, one.code): one for one in self.board.running()}
        for key in [key for key in self._cancelling if key not in running]:
            del self._cancelling[key]
        for key, one in running.items():
            if one.waits:
                # It has as long from when it hears of it.
                if key in self._cancelling:
                    kill_at = max(self._cancelling[key], now + HEARING_SECONDS)
                    self._cancelling[key] = kill_at
                continue
            if now >= self._cancelling.get(key, inf):
                return Overrun(one.code, one.job_id, CANCEL, now - one.started)
            if now >= one.hard:
                return Overrun(one.code, one.job_id, TIMEOUT, now - one.started)
        return None

    def hangs(self, now: float) -> bool:
        """Whether it is stuck where no job is to blame that runs."""
        late = now >= self.board.cells[DEADLINE]
        return late or self._stalls(now) or self._lacks_databases(now)

    def _lacks_databases(self, now: float) -> bool:
        """Whether something that an ended job left behind keeps the thread in which
        Django has coroutines use the database, and there are coroutines.
        """
        since = self.board.cells[KEPT]
        if not since or now - since < STALLED_SECONDS:
            return False
        # Where nothing has run for a while that may have changed since it was noted.
        return any(
            one.slot >= self._threads and now - one.started > LONG_SECONDS
            for one in self.running()
        )

    def _stalls(self, now: float) -> bool:
        """Whether a job has its turn no more: something that an ended one left behind
        keeps the event loop.
        """
        running = self.running()
        in_loop = [one for one in running if one.slot >= self._threads]
        first = min(in_loop, key=lambda one: one.started, default=None)
        kept = any(
            not one.waits and now - one.started > LONG_SECONDS for one in in_loop
        )
        code = first.code if first is not None and first.waits and not kept else 0
        if code != self._stalled[0]:
            self._stalled = (code, now)
        since = self._stalled[1]
        if code == 0 or now - since < STALLED_SECONDS:
            return False
        # A thread's job that has run all the while may hold the interpreter.
        return all(one.waits or one.started > since for one in running)


def _open_nameless() -> int:
    """A new file that is gone with its last descriptor."""
    if hasattr(os, "memfd_create"):
        # Needs no folder: a container may have none that can be written to.
        return os.memfd_create("stack")
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())
