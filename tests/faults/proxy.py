"""A way to Redis on which things go wrong where a test wants it.

It stands between the processes of a worker and the server, knows which process sent
each message, and may kill that process, lose the message or its answer, answer in the
server's place, hang up, or say nothing at all.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django_redisjobs.core.scripts import SCRIPTS

_CHUNK: Final = 65536
_CREDENTIALS: Final = struct.Struct("3i")
_TICK_SECONDS: Final = 0.02

_SCRIPTS: Final = {script.sha: name for name, script in SCRIPTS.items()}

HANG_UP: Final = b""
"""In place of an answer: the connection is closed."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one process asks. ``number``: it is that process's so manieth message."""

    pid: int
    number: int
    words: tuple[bytes, ...]

    @property
    def name(self) -> str:
        """Its command, or the script that it calls."""
        if self.words[0] == b"EVALSHA":
            return _SCRIPTS.get(self.words[1].decode(), "EVALSHA")
        return self.words[0].decode()


def _pass(message: Message) -> bytes | None:
    return None


def _deliver(message: Message) -> bool:
    return True


class Proxy:
    """Listens beside the server's socket.

    ``before`` sees each message before the server does, and may give an answer in its
    place (HANG_UP: none). ``after`` sees it when the server has answered; False: the
    answer is lost with its connection. Both are called in the proxy's threads.
    """

    def __init__(self, upstream: str) -> None:
        self.before: Callable[[Message], bytes | None] = _pass
        self.after: Callable[[Message], bool] = _deliver
        self.latency = 0.0
        self.path = f"{upstream}-{os.urandom(4).hex()}"
        self._upstream = upstream
        self._counts: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._closed = False
        self._partitioned = False
        self._ways: list[_Way] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(256)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    @property
    def pids(self) -> frozenset[int]:
        """The processes that have sent anything so far."""
        with self._lock:
            return frozenset(self._counts)

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        self.before, self.after, self.latency = _pass, _deliver, 0.0

    def cut(self) -> None:
        """Close all connections that there are."""
        for way in self._ways:
            way.broken = True

    def silence(self) -> None:
        """Half-open: neither end of the present connections hears of the other again,
        nor of its end. New connections are whole.
        """
        for way in self._ways:
            way.silent = True

    @contextlib.contextmanager
    def partition(self) -> Iterator[None]:
        """Nothing passes, neither through old connections nor through new ones."""
        self._partitioned = True
        try:
            yield
        finally:
            self._partitioned = False

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        for way in self._ways:
            way.join()
        self._listener.close()
        Path(self.path).unlink()

    # What its connections ask and say

    def count(self, pid: int) -> int:
        with self._lock:
            self._counts[pid] += 1
            return self._counts[pid]

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def is_partitioned(self) -> bool:
        return self._partitioned

    def _accept(self) -> None:
        while not self._closed:
            if not select.select([self._listener], [], [], _TICK_SECONDS)[0]:
                continue
            near, _ = self._listener.accept()
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self._upstream)
            except OSError:
                # The server is not there: neither is the way to it.
                near.close()
                far.close()
                continue
            way = _Way(self, near, far)
            self._ways.append(way)
            way.start()


class _Way(threading.Thread):
    """One connection, from a process to the server."""

    def __init__(self, proxy: Proxy, near: socket.socket, far: socket.socket) -> None:
        super().__init__(daemon=True)
        self.broken = False
        self.silent = False
        self._proxy = proxy
        self._near = near
        self._far = far
        raw = near.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self._pid: int = _CREDENTIALS.unpack(raw)[0]
        self._asked = _Stream()
        self._answered = _Stream()
        # In order; an answer that the server does not give is here already.
        self._open: deque[tuple[Message, bytes | None]] = deque()

    def run(self) -> None:
        try:
            while not self._proxy.is_closed and not self.broken:
                if not self._turn():
                    break
        except OSError:
            pass
        finally:
            self._near.close()
            self._far.close()

    def _turn(self) -> bool:
        if self.silent or self._proxy.is_partitioned:
            threading.Event().wait(_TICK_SECONDS)
            return True
        ready = select.select([self._near, self._far], [], [], _TICK_SECONDS)[0]
        if self.silent or self._proxy.is_partitioned:
            return True
        return not (
            (self._near in ready and not self._hear())
            or (self._far in ready and not self._answer())
        )

    def _hear(self) -> bool:
        """Pass on what the process asks; False when the connection is to end."""
        data = self._near.recv(_CHUNK)
        for raw in self._asked.feed(data):
            message = Message(self._pid, self._proxy.count(self._pid), _words(raw))
            self._linger()
            answer = self._proxy.before(message)
            if answer == HANG_UP:
                return False
            self._open.append((message, answer))
            if answer is None:
                self._far.sendall(raw)
        self._answer_ourselves()
        return bool(data)

    def _answer(self) -> bool:
        data = self._far.recv(_CHUNK)
        for raw in self._answered.feed(data):
            message, _ = self._open.popleft()
            self._linger()
            if not self._proxy.after(message):
                return False
            self._near.sendall(raw)
            self._answer_ourselves()
        return bool(data)

    def _answer_ourselves(self) -> None:
        while self._open and (answer := self._open[0][1]) is not None:
            self._open.popleft()
            self._near.sendall(answer)

    def _linger(self) -> None:
        if self._proxy.latency:
            threading.Event().wait(self._proxy.latency)


class _Stream:
    """Whole messages from bytes as they come."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._data += data
        while (end := _end(self._data, 0)) is not None:
            message, self._data = self._data[:end], self._data[end:]
            yield message


def _end(data: bytes, start: int) -> int | None:
    """Where the RESP2 value that begins at ``start`` ends; None: not here yet."""
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    kind, here = data[start : start + 1], line + 2
    if kind == b"$":
        size = int(data[start + 1 : line])
        end = here if size < 0 else here + size + 2
        return end if end <= len(data) else None
    if kind == b"*":
        for _ in range(int(data[start + 1 : line])):
            following = _end(data, here)
            if following is None:
                return None
            here = following
    return here


def _words(raw: bytes) -> tuple[bytes, ...]:
    """The strings of a request."""
    found = []
    here = raw.index(b"\r\n") + 2
    while here < len(raw):
        line = raw.index(b"\r\n", here)
        size = int(raw[here + 1 : line])
        found.append(raw[line + 2 : line + 2 + size])
        here = line + 2 + size + 2
    return tuple(found)
