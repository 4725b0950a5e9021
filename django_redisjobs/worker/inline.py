"""A worker without other processes: for a debugger, for tests, for systems that
cannot fork. A thread does what the liaison does elsewhere.

What needs a second process is missing: nobody kills a job that ignores its
timeout, and a job that crashes the process takes the worker along.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from .bells import Bell
from .child import Child
from .health import Health
from .inbox import open_pipe
from .liaison import FAREWELL_SECONDS, UNFINISHED, Liaison
from .limits import MemoryLimit
from .machine import identity
from .memory import STOPPING, TURNED, Phase, SharedMemory, new_base
from .rescues import rescue_request
from .shutdown import SAME_REQUEST_SECONDS
from .trouble import patience

if TYPE_CHECKING:
    from .options import WorkerOptions
    from .probes import Probes
    from .stations import Post


logger = logging.getLogger("redisjobs.worker")


class InlineWorker:
    """``run`` returns when the work is over; ``stop`` may be called by any thread."""

    def __init__(
        self,
        options: WorkerOptions,
        posts: Sequence[Post],
        info: dict[str, str],
        probes: Probes | None = None,
    ) -> None:
        self._options = options
        self._posts = posts
        self._info = info
        self._memory = SharedMemory(1, options.slots, len(posts))
        self._board = self._memory.board(0)
        self._probes = probes
        self._limit = MemoryLimit(options.max_rss)
        self._patience = patience(burst=options.burst)
        self._child: Child | None = None
        self._stopped_at = 0.0
        self._timer: threading.Timer | None = None

    def run(self, ready: Callable[[], None]) -> None:
        """``ready`` is called when a signal would be obeyed.

        Raises ServerUnavailable: Redis was away for too long for a burst.
        """
        line = _LocalLine(self)
        liaison = Liaison(
            self._posts, [self._board], self._memory.common, line, self._options.name
        )
        thread = threading.Thread(
            target=liaison.run, name="redisjobs-liaison", daemon=True
        )
        thread.start()
        handlers = self._take_signals()
        try:
            ready()
            with self._answering_probes():
                while self._run_child(line):
                    pass
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            if self._timer is not None:
                self._timer.cancel()
            line.ask("dismiss")
            thread.join(FAREWELL_SECONDS)
            if thread.is_alive():
                logger.warning(UNFINISHED)
        self._patience.check()

    @contextmanager
    def _answering_probes(self) -> Iterator[None]:
        if self._probes is None:
            yield
            return
        # There is no supervisor: whoever answers is alive.
        self._memory.common[TURNED] = inf
        options = self._options
        health = Health(
            [self._board], self._memory.common, options.name, options.queues
        )
        with self._probes.in_threads(health):
            yield

    def stop(self) -> None:
        """Finish what runs, within the grace, and end. Again: end at once."""
        now = monotonic()
        child = self._child
        if not self._stopped_at:
            self._stopped_at = now
            self._memory.common[STOPPING] = 1
            if child is not None:
                child.quiet()
                self._timer = threading.Timer(self._options.grace, child.interrupt)
                self._timer.daemon = True
                self._timer.start()
        elif child is not None and now - self._stopped_at > SAME_REQUEST_SECONDS:
            child.interrupt()

    def heed_absence(self, seconds: float) -> None:
        """Redis has been away for so long."""
        if not self._stopped_at and self._patience.loses(seconds):
            self.stop()

    def hear(self, message: str) -> None:
        """What people ask of this worker."""
        word, _, rest = message.partition(" ")
        if word in ("stop", "quiet"):
            self.stop()
        elif self._child is not None and word == "cancel":
            self._child.cancel(rest)
        elif self._child is not None and word == "dump":
            self._child.dump()

    def _run_child(self, line: _LocalLine) -> bool:
        """Work; True if another one, that has run nothing yet, has to go on."""
        self._board.clear(new_base())
        pipe = open_pipe()
        child = self._child = Child(
            self._options,
            self._posts,
            self._board,
            pipe,
            {**self._info, **identity()},
        )
        # Not before: a thread of its crew may still look into it.
        weakref.finalize(child, _close, pipe)
        if self._stopped_at:
            return False
        ending = child.run()
        self._limit.look_at(self._board)
        worker = self._board.worker
        self._board.enter(ending, 0.0)
        line.ask("rescue", **rescue_request(worker, reason="it ended in good order"))
        return ending is Phase.RECYCLED and child.wants_fresh_start

    def _take_signals(self) -> Mapping[signal.Signals, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}
        numbers = (signal.SIGTERM, signal.SIGINT)
        return {
            number: signal.signal(number, lambda *_: self.stop()) for number in numbers
        }


def _close(ends: tuple[int, int]) -> None:
    for end in ends:
        os.close(end)


class _LocalLine:
    """Stands for the line between two processes."""

    def __init__(self, worker: InlineWorker) -> None:
        self._worker = worker
        self._requests: deque[dict[str, Any]] = deque()
        self._bell = Bell()
        self.closed = False

    def fileno(self) -> int:
        return self._bell.fileno()

    def ask(self, what: str, **more: Any) -> None:
        self._requests.append({"number": 0, "do": what, **more})
        self._bell.ring()

    # The liaison's side

    def send(self, message: Mapping[str, Any]) -> None:
        if "message" in message:
            self._worker.hear(message["message"])
        elif "away" in message:
            self._worker.heed_absence(message["away"])

    def flush(self) -> None:
        """Nothing waits here."""

    def receive(self) -> Iterator[dict[str, Any]]:
        self._bell.clear()
        while self._requests:
            yield self._requests.popleft()
