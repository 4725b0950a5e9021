"""Answers who asks how a worker is: over HTTP, and by a file that stays fresh.

All of it happens in a process of its own (without processes: in threads), so that
neither a slow client nor a slow disk reaches those who run jobs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any, Final

from django_redisjobs.exceptions import ConfigurationError

from .bells import Bell
from .forking import fork
from .health import Health

logger = logging.getLogger("redisjobs.worker")

FILE_SECONDS: Final = 2.0
CLIENT_SECONDS: Final = 5.0
MOST_CLIENTS: Final = 16
RESTART_SECONDS: Final = 1.0
FAREWELL_SECONDS: Final = 1.0

_ADDRESS: Final = re.compile(
    r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>\d+)"
)
_OWN: Final = '{"alive":'


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``. ValueError for anything else."""
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match["port"]) > 65535:
        raise ValueError(
            f"{text!r} is no address to listen on; write for example 127.0.0.1:8080, "
            "0.0.0.0:8080, [::1]:8080."
        )
    return match["six"] or match["host"], int(match["port"])


class Probes:
    """``address``: where to listen; ``file``: what to keep fresh. None for neither."""

    def __init__(self, address: tuple[str, int] | None, file: Path | None) -> None:
        self._address = address
        self._file = None if file is None else file.absolute()
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Take the port and the file, once for all processes.

        Raises:
            ConfigurationError: one of them cannot be had.
        """
        if self._address is not None:
            self._socket = _listen(*self._address)
        if self._file is not None:
            _claim(self._file)

    @property
    def places(self) -> list[str]:
        """Where to look, for people."""
        found = []
        if self._socket is not None:
            host, port = self._socket.getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            found.append(f"http://{name}:{port}/ready")
        if self._file is not None:
            found.append(str(self._file))
        return found

    @property
    def descriptors(self) -> list[int]:
        """What processes with other duties must not keep open."""
        return [] if self._socket is None else [self._socket.fileno()]

    def in_process(self, health: Health) -> ProbeProcess:
        """For a supervisor, which must not be held up."""
        return ProbeProcess(self, health)

    @contextlib.contextmanager
    def in_threads(self, health: Health) -> Iterator[None]:
        """For a worker that has no other processes."""
        ended = Bell()
        thread = threading.Thread(
            target=self.serve,
            args=(health, ended),
            name="redisjobs-health",
            daemon=True,
        )
        thread.start()
        try:
            yield
        finally:
            ended.ring()
            thread.join(FAREWELL_SECONDS)
            self.close()

    def serve(self, health: Health, ended: Bell) -> None:
        """Answer until the bell rings."""
        server = None if self._socket is None else _Server(self._socket, health)
        if server is not None:
            threading.Thread(
                target=server.serve_forever, name="redisjobs-probes", daemon=True
            ).start()
        while not ended.wait(FILE_SECONDS if self._file else 3600.0):
            if self._file is not None:
                _freshen(self._file, health)
        if server is not None:
            server.shutdown()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink(missing_ok=True)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class ProbeProcess:
    """The supervisor's part: that there is a process which answers."""

    def __init__(self, probes: Probes, health: Health) -> None:
        self._probes = probes
        self._health = health
        self._pid = 0
        self._start_at = 0.0

    @property
    def pid(self) -> int:
        """0 while there is none."""
        return self._pid

    @property
    def descriptors(self) -> list[int]:
        return self._probes.descriptors

    def tend(self, now: float, close: Iterable[int]) -> None:
        """Have it run. ``close``: descriptors that are others' business."""
        if self._pid and _is_over(self._pid):
            self._pid, self._start_at = 0, now + RESTART_SECONDS
        if not self._pid and now >= self._start_at:
            own = self.descriptors
            try:
                self._pid = fork(self._run, [each for each in close if each not in own])
            except OSError as error:
                # No reason to end those that work.
                logger.warning(
                    "Health checks cannot be answered: %s. It is tried again.", error
                )
                self._start_at = now + RESTART_SECONDS

    def end(self) -> None:
        """Wait for it, but not for long: it may hang on a disk."""
        if self._pid:
            os.kill(self._pid, signal.SIGTERM)
            nobody, deadline = Bell(), monotonic() + FAREWELL_SECONDS
            while not _is_over(self._pid):
                if monotonic() >= deadline:
                    os.kill(self._pid, signal.SIGKILL)
                    break
                nobody.wait(0.02)
        self._probes.close()

    def _run(self) -> int:
        ended = Bell()
        signal.signal(signal.SIGTERM, lambda *_: ended.ring())
        self._probes.serve(self._health, ended)
        return 0


class _Server(ThreadingHTTPServer):
    """On a socket that is open already. When it is full, who has been there for the
    longest is sent away: whoever asks as one should is answered at once.
    """

    daemon_threads = True

    def __init__(self, listening: socket.socket, health: Health) -> None:
        address: Any = listening.getsockname()
        super().__init__(address, _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.health = health
        # In the order in which they came.
        self._clients: dict[socket.socket, None] = {}
        self._changing = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changing:
            if len(self._clients) >= MOST_CLIENTS:
                oldest = next(iter(self._clients))
                del self._clients[oldest]
                # Its thread sees the end of what it reads, and closes it.
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            self._clients[request] = None
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changing:
                self._clients.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("A health check broke off: %s", sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        report = self.server.health.report(monotonic())
        verdicts = {"/live": report.alive, "/ready": report.ready}
        verdict = verdicts.get(self.path.partition("?")[0].rstrip("/"))
        if verdict is None:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "Ask for /live or /ready."})
            return
        status = HTTPStatus.OK if verdict else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, report.as_json())

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        """Probes come every few seconds; they are no news."""


def _listen(host: str, port: int) -> socket.socket:
    listening: socket.socket | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(MOST_CLIENTS)
    except (OSError, UnicodeError) as error:
        if listening is not None:
            listening.close()
        raise ConfigurationError(
            f"Health checks cannot be answered at {host}:{port}: {error}. Choose an "
            "address of this machine and a port that is free."
        ) from error
    return listening


def _claim(file: Path) -> None:
    """An old file must not tell of a new worker; another's file must not be lost."""
    try:
        if file.exists() and not _is_own(file):
            raise ConfigurationError(
                f"{file} is no health file and would be overwritten. Choose another "
                "name."
            )
        _write(file, "")
        file.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"The health file {file} cannot be written: {error.strerror}. Choose a "
            "folder that exists and is writable."
        ) from error


def _is_own(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open(errors="replace") as opened:
        return opened.read(len(_OWN)) in ("", _OWN)


def _freshen(file: Path, health: Health) -> None:
    report = health.report(monotonic())
    if not report.alive:
        return
    written_at = datetime.now(UTC).isoformat(timespec="seconds")
    content = {**report.as_json(), "written_at": written_at}
    try:
        _write(file, json.dumps(content) + "\n")
    except OSError as error:
        logger.warning("The health file %s cannot be written: %s", file, error)


def _write(file: Path, text: str) -> None:
    """Whoever reads it sees all of it."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    new.write_text(text)
    new.replace(file)


def _is_over(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def make_probes(address: str | None, file: str | os.PathLike[str] | None) -> Probes:
    """ValueError: the address is none."""
    return Probes(
        None if address is None else parse_address(address),
        None if file is None else Path(file),
    )
