"""The liaison, as its supervisor sees it: its process, its line, what it was asked."""

from __future__ import annotations

import logging
import os
import selectors
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .forking import SHORT_LIFE_SECONDS, describe_status, fork
from .liaison import FAREWELL_SECONDS, UNFINISHED, Liaison
from .link import Desk, Line, open_line
from .memory import LIAISON_DEADLINE

if TYPE_CHECKING:
    from .memory import Board
    from .stations import Post

logger = logging.getLogger("redisjobs.worker")

RESTART_SECONDS: Final = 1.0
HUNG: Final = "it hung and was killed"


class LiaisonProcess:
    """None (``pid`` 0) until it is started; what one has not done when it dies, its
    successor is asked. The selector gives this object when its line has news.

    ``close`` gives the descriptors that are others' business.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        posts: Sequence[Post],
        boards: Sequence[Board],
        common: memoryview[float],
        name: str,
        close: Callable[[], Iterable[int]],
    ) -> None:
        self._selector = selector
        self._posts = posts
        self._boards = boards
        self._common = common
        self._name = name
        self._close = close
        self._desk = Desk()
        self._line: Line | None = None
        self._pid = 0
        self._start_at = 0.0
        self._started_at = 0.0
        self._short_lives = 0
        self._hung = False

    @property
    def pid(self) -> int:
        """0 while there is none."""
        return self._pid

    @property
    def descriptors(self) -> list[int]:
        return [] if self._line is None else [self._line.fileno()]

    # Its process

    def start(self) -> None:
        """OSError: no process or descriptor is left."""
        ours, theirs = open_line()
        close = [ours.fileno(), *self._close()]

        def run() -> int:
            # Who stops a worker may tell all its processes; this one is dismissed.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            line = Line(theirs)
            return Liaison(
                self._posts, self._boards, self._common, line, self._name
            ).run()

        self._common[LIAISON_DEADLINE] = inf
        with theirs:
            try:
                self._pid = fork(run, close)
            except OSError:
                ours.close()
                raise
        self._started_at = monotonic()
        self._hung = False
        self._line = Line(ours)
        self._selector.register(self._line, selectors.EVENT_READ, self)
        self._desk.connect(self._line)

    def tend(self, now: float) -> None:
        """See that there is one. It is no reason to end what works if there cannot be one
        for the moment: leases hold for a while.
        """
        if self._pid or now < self._start_at:
            return
        try:
            self.start()
        except OSError as error:
            logger.warning(
                "The process that talks to Redis cannot be started: %s. It is tried "
                "again.",
                error,
            )
            self._start_at = now + RESTART_SECONDS

    def reap(self, *, over: bool) -> None:
        """Replace it if it died. ``over``: no job runs any more, and its end is no news."""
        if not self._pid:
            return
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid:
            return
        assert self._line is not None
        if not over:
            logger.warning(
                "The process that talks to Redis ended: %s. A new one takes over.",
                HUNG if self._hung else describe_status(status),
            )
        self._selector.unregister(self._line)
        self._line.close()
        self._line = None
        self._pid = 0
        now = monotonic()
        # One after the other at once would leave no time for anything else.
        is_short = now < self._started_at + SHORT_LIFE_SECONDS
        self._short_lives = self._short_lives + 1 if is_short else 0
        self._start_at = now + min(RESTART_SECONDS, 0.05 * self._short_lives**2)
        self.tend(now)

    def end_if_hung(self, now: float) -> None:
        if self._pid and now >= self._common[LIAISON_DEADLINE]:
            self._common[LIAISON_DEADLINE] = inf
            self._hung = True
            os.kill(self._pid, signal.SIGKILL)

    def see_off(self, pause: Callable[[], None]) -> None:
        """Wait for the end of one that was asked to ``dismiss``, but not for long.

        ``pause`` lets a moment pass, and less when something happens.
        """
        deadline = monotonic() + FAREWELL_SECONDS
        while (now := monotonic()) < deadline:
            self.tend(now)
            if self._pid and os.waitpid(self._pid, os.WNOHANG)[0]:
                return
            pause()
            if self._line is not None:
                self._line.flush()
                for _ in self.hear():
                    # Nobody is left whom it could concern.
                    pass
        logger.warning(UNFINISHED)
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    # Its line

    def ask(self, what: str, **more: Any) -> int:
        """Have something done, sooner or later; gives its number."""
        return self._desk.ask(what, **more)

    def is_open(self, number: int) -> bool:
        """Whether what has this number was asked and is not done."""
        return self._desk.is_open(number)

    def hear(self) -> Iterator[dict[str, Any]]:
        """What it says of others; what it says it has done is noted."""
        assert self._line is not None
        for message in self._line.receive():
            if "done" in message:
                self._desk.done(message["done"])
            else:
                yield message

    def flush(self) -> None:
        """Send what waits, as far as it is taken."""
        if self._line is not None:
            self._line.flush()
