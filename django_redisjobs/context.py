"""What a running job knows of itself, and tells those who look at it."""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any, Final

from django_redisjobs import conf
from django_redisjobs.core.payload import check_size
from django_redisjobs.core.records import LogLine
from django_redisjobs.core.texts import encodable
from django_redisjobs.serialization import codec

MESSAGE_LIMIT: Final = 4_000
"""Characters that are kept of what a job says, or an exception of its."""

_TRIES = 100

_current: ContextVar[JobContext | None] = ContextVar("redisjobs_job", default=None)


def current_job() -> JobContext | None:
    """The job that runs here; None outside one, also when its function is called."""
    return _current.get()


def enter(context: JobContext) -> Token[JobContext | None]:
    """Make ``context`` the current one until ``leave``; for the worker."""
    return _current.set(context)


def leave(token: Token[JobContext | None]) -> None:
    _current.reset(token)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job says it is; ``total`` is None when it does not know."""

    done: float
    total: float | None = None
    message: str = ""

    @classmethod
    def read(cls, stored: str) -> Progress | None:
        """What JSON says; None where that is no progress."""
        try:
            fields = json.loads(stored)
            done, total = fields["done"], fields.get("total")
            _check(done, total)
        except (AttributeError, LookupError, TypeError, ValueError):
            return None
        return cls(done, total, str(fields.get("message", "")))

    @property
    def fraction(self) -> float | None:
        """Between 0 and 1; None without a total."""
        if not self.total:
            return None
        return min(1.0, max(0.0, self.done / self.total))


class JobContext:
    """The running job. Its attributes are for reading, ``meta`` also for writing.

    ``attempt`` counts from 1 the runs that count against the retry limit; ``run``
    every start, those after a crash too, and never repeats: a fencing token.
    """

    __slots__ = (
        "_lines",
        "_lock",
        "_meta",
        "_meta_text",
        "_progress",
        "attempt",
        "function",
        "id",
        "overhear",
        "queue",
        "run",
    )

    def __init__(
        self,
        *,
        id: str,  # noqa: A002  the public name
        function: str,
        queue: str,
        attempt: int,
        run: int,
        meta: str | None = None,
    ) -> None:
        self.id = id
        self.function = function
        self.queue = queue
        self.attempt = attempt
        self.run = run
        self._meta: dict[str, Any] | None = None
        self._meta_text = meta
        self._progress: str | None = None
        self._lines: deque[LogLine] | None = None
        self.overhear: Callable[[JobContext, LogLine], None] | None = None
        self._lock = threading.Lock()

    @property
    def meta(self) -> dict[str, Any]:
        """Anything that a job can carry, for those who look at it and for its own
        next attempt. Stored within a second while the job runs, and at its end.
        """
        with self._lock:
            if self._meta is None:
                stored = codec.loads(self._meta_text) if self._meta_text else {}
                self._meta = stored if isinstance(stored, dict) else {}
            return self._meta

    def progress(
        self, done: float, total: float | None = None, message: str = ""
    ) -> None:
        """Say how far the job is. Stored within a second; the last call wins. Of the
        message the first 4,000 characters are kept.

        Cheap enough for every row of a loop, and safe in threads of the job.

        Raises:
            ValueError: ``done`` or ``total`` is not a number that can be stored.
        """
        try:
            _check(done, total)
            words = encodable(str(message)[:MESSAGE_LIMIT])
            text = json.dumps(
                {"done": done + 0, "total": total, "message": words}, allow_nan=False
            )
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"progress({done!r}, {total!r}): done and total are finite numbers "
                f"({error})."
            ) from error
        with self._lock:
            self._progress = text

    @property
    def watched(self) -> bool:
        """Whether there may be something to store."""
        return self._meta is not None or self._progress is not None

    def keep_line(self, line: LogLine, most: int) -> None:
        """Remember that the job logged this; at most the last so many lines.

        For the worker, from any thread.
        """
        lines = self._lines
        if lines is None:
            lines = self._lines = deque(maxlen=most)
        lines.append(line)
        if self.overhear is not None:
            self.overhear(self, line)

    @property
    def lines(self) -> tuple[LogLine, ...]:
        """What the job logged, as far as it is kept; for the worker."""
        return tuple(self._lines) if self._lines else ()

    def take_progress(self) -> str | None:
        """The JSON text of the progress; None if it is as at the last call.

        For the worker, from any thread.
        """
        with self._lock:
            taken, self._progress = self._progress, None
        return taken

    def take_meta(self) -> str | None:
        """The JSON text of ``meta``; None if it is as at the last call.

        For the worker, from any thread.

        Raises:
            PayloadNotSerializable: it holds what a job cannot carry.
            PayloadTooLarge: it is larger than ``MAX_PAYLOAD``.
        """
        meta = self._meta
        if meta is None:
            return None
        text = _dumps_while_it_changes(meta)
        check_size(text, conf.get_settings().max_payload, "meta of ", self.function)
        with self._lock:
            if text == (self._meta_text or "{}"):
                return None
            self._meta_text = text
        return text


def _check(done: Any, total: Any) -> None:
    """Raises TypeError or ValueError unless they are finite numbers."""
    for each in (done, 0 if total is None else total):
        try:
            is_finite = math.isfinite(each + 0)
        except OverflowError:
            # Of an int that no float can be compared with.
            is_finite = False
        if not is_finite:
            raise ValueError(f"{each!r:.40} is none")


def _dumps_while_it_changes(meta: dict[str, Any]) -> str:
    """The text of a dict that the job may be writing to at this moment."""
    for _ in range(_TRIES):
        try:
            return codec.dumps(meta, "meta")
        except RecursionError:
            raise
        except RuntimeError:
            # "dictionary changed size during iteration"
            continue
    return codec.dumps(meta, "meta")
