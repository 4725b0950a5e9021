"""The demo's child processes: they end with it, however it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from django.conf import settings

GUARD = Path(__file__).with_name("guard.py")


class ChildDied(Exception):
    """A child ended although nobody asked it to."""


class Child:
    """``manage.py ARGUMENTS`` under a guard, writing to a log file.

    The guard lives in a session of its own: Ctrl-C and a closing terminal reach the
    demo alone, which then ends its children in order.
    """

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str]):
        self.name = name
        self.log = settings.DATA_DIR / "logs" / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        manage = str(settings.BASE_DIR / "manage.py")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(GUARD), sys.executable, manage, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises ChildDied, with the end of the log, when it is not running."""
        code = self.process.poll()
        if code is not None:
            raise ChildDied(f"The {self.name} ended with {code}:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])

    def ask_to_stop(self) -> None:
        """Let go of the pipe: the guard ends the command and then itself."""
        if self.process.stdin:
            self.process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Wait for the end; what does not come by then is killed."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port(wanted: int) -> int:
    """The wanted port when nobody listens there, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("This machine has no free port.")
