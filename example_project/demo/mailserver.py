"""A mail server that keeps every letter as a file and sends none on."""

from __future__ import annotations

import itertools
import os
import socketserver
import sys
import threading
import time
from pathlib import Path
from typing import Any

numbers = itertools.count(1)

ANSWERS = {
    b"EHLO": b"250 at your service",
    b"HELO": b"250 at your service",
    b"MAIL": b"250 go on",
    b"RCPT": b"250 go on",
    b"RSET": b"250 forgotten",
    b"NOOP": b"250 nothing done",
    b"QUIT": b"221 goodbye",
}


class Conversation(socketserver.StreamRequestHandler):
    """One client's visit."""

    server: MailServer
    timeout = 60

    def handle(self) -> None:
        """Answer commands until the client leaves."""
        self.say(b"220 the shop's mail room")
        while line := self.rfile.readline(2000):
            command = line[:4].upper()
            if command == b"DATA":
                self.say(b"354 end with a dot")
                self.server.keep(self.letter())
                self.say(b"250 kept")
            else:
                self.say(ANSWERS.get(command, b"502 not known here"))
            if command == b"QUIT":
                return

    def say(self, answer: bytes) -> None:
        """Send one line."""
        self.wfile.write(answer + b"\r\n")

    def letter(self) -> bytes:
        """The lines up to the one with a dot alone."""
        lines = []
        for line in self.rfile:
            if line.rstrip(b"\r\n") == b".":
                break
            # The protocol doubles a dot that begins a line.
            lines.append(line[1:] if line.startswith(b"..") else line)
        return b"".join(lines)


class MailServer(socketserver.ThreadingTCPServer):
    """Listens on this machine only; port 0 picks a free one."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        super().__init__(("127.0.0.1", port), Conversation)

    @property
    def url(self) -> str:
        """The address as the setting ``SMTP_URL`` wants it."""
        return f"smtp://127.0.0.1:{self.server_address[1]}"

    def keep(self, letter: bytes) -> None:
        """Write a letter; its file appears complete or not at all."""
        name = f"{time.time_ns()}-{os.getpid()}-{next(numbers)}"
        draft = self.folder / f"{name}.part"
        draft.write_bytes(letter)
        draft.rename(self.folder / f"{name}.eml")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed in the middle of a visit is part of the demo."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def start(self) -> None:
        """Serve from a thread, until ``shutdown``."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
