"""The line between a supervisor and its liaison: JSON objects, one a line.

What the supervisor asks is kept until it is done, so that a new liaison can be
asked again.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

_CHUNK: Final = 65536


class Messages(Protocol):
    """One end of a line, between processes or within one."""

    closed: bool

    def fileno(self) -> int: ...

    def send(self, message: Mapping[str, Any]) -> None: ...

    def flush(self) -> None: ...

    def receive(self) -> Iterator[dict[str, Any]]: ...


class Line:
    """One end. Never blocks: what cannot be sent yet waits."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._unsent = b""
        self._unread = b""
        self.closed = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        self._unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the other end takes it."""
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                self._unsent = self._unsent[sent:]
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True

    def receive(self) -> Iterator[dict[str, Any]]:
        """The messages that have come; sets ``closed`` at the other end's end."""
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    data = self._socket.recv(_CHUNK)
                except ConnectionError:
                    data = b""
                if not data:
                    self.closed = True
                    break
                self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            yield json.loads(line)

    def close(self) -> None:
        self._socket.close()


def open_line() -> tuple[socket.socket, socket.socket]:
    """Both ends, to be made before a fork."""
    return socket.socketpair()


class Desk:
    """The supervisor's side: numbers what it asks, and remembers it until it is done."""

    def __init__(self) -> None:
        self._line: Line | None = None
        self._open: dict[int, dict[str, Any]] = {}
        self._last = 0

    def connect(self, line: Line) -> None:
        """Talk to a new liaison, from the first thing that is not done."""
        self._line = line
        for request in self._open.values():
            line.send(request)

    def ask(self, what: str, **more: Any) -> int:
        """Have something done, sooner or later; gives its number."""
        self._last += 1
        request = {"number": self._last, "do": what, **more}
        self._open[self._last] = request
        if self._line is not None:
            self._line.send(request)
        return self._last

    def done(self, number: int) -> None:
        self._open.pop(number, None)

    def is_open(self, number: int) -> bool:
        return number in self._open
