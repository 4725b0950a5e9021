"""Where it is measured: a private server, producers, workers, and how jobs tell.

Everything talks to the server over TCP on the loopback interface: not every peer can
use a unix socket.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from tests.servers import Server

from . import npm
from .subjects import Subject

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STAMPS = 100_000
LIMIT_SECONDS = 300
# To look takes some of the time that worker and server would have.
_LOOK_SECONDS = 0.004
_AFTERWARDS_SECONDS = 0.25

SENT = frozenset(
    {"evalsha", "eval", "blpop", "client", "hello", "ping", "script", "select"}
)
"""Commands that clients send and scripts cannot; a worker sends hardly any others."""


@dataclass(frozen=True)
class Run:
    """From when the first job was seen done until the last one was."""

    jobs: int
    seconds: float
    worker_cpu: float
    server_cpu: float


class Stage:
    """``slots``: the numbers that jobs may have are smaller."""

    def __init__(self, slots: int) -> None:
        self.port = free_port()
        self.server = Server(
            *("--port", str(self.port), "--bind", "127.0.0.1"),
            *("--appendfsync", "everysec"),
        )
        self.client: Any = self.server.client()
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=self.server.folder))
        self.marks = self._map("marks", slots)
        self.stamps = self._map("stamps", STAMPS * 8)

    def _map(self, name: str, size: int) -> mmap.mmap:
        with (self.folder / name).open("w+b") as file:
            file.truncate(size)
            return mmap.mmap(file.fileno(), size)

    def close(self) -> None:
        self.client.close()
        self.server.stop()

    def clear(self) -> None:
        try:
            self.client.execute_command("FLUSHALL", "SYNC")
        except redis.ResponseError:
            self.client.flushall()  # before 6.2 there is no other way than this
        self.forget_runs()

    def forget_runs(self) -> None:
        self.marks[:] = bytes(len(self.marks))
        self.stamps[:] = bytes(len(self.stamps))

    # What is started

    def environment(self, subject: Subject, port: int | None = None) -> dict[str, str]:
        return {
            **os.environ,
            "BENCH_REDIS_URL": f"redis://127.0.0.1:{port or self.port}/0",
            "BENCH_MARKS": str(self.folder / "marks"),
            "BENCH_STAMPS": str(self.folder / "stamps"),
            "BENCH_OPTS": json.dumps(subject.options),
            "NODE_PATH": str(npm.MODULES),
            "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}",
            "PYTHONWARNINGS": "ignore",
            **subject.environment,
        }

    def produce(
        self,
        subject: Subject,
        operation: str,
        count: int,
        *,
        first: int = 0,
        due: float = 0.0,
        beside: str = "",
    ) -> list[float]:
        """The seconds that it took; and those of the adapter ``beside``, if any."""
        names = ",".join(filter(None, (subject.adapter, beside)))
        words = (names, operation, str(first), str(count), str(due))
        done = subprocess.run(
            [sys.executable, str(HERE / "produce.py"), *words],
            env=self.environment(subject),
            stdout=subprocess.PIPE,
            check=True,
        )
        seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
        return seconds

    def fill(self, subject: Subject, count: int) -> None:
        self.produce(subject, "bulk" if subject.bulk else "one", count)

    @contextmanager
    def worker(self, subject: Subject, port: int | None = None) -> Iterator[Tree]:
        """Its processes, from their start until they have ended."""
        environment = self.environment(subject, port)
        log = (self.folder / "worker.log").open("ab")
        with log:
            process = subprocess.Popen(
                subject.arguments(environment["BENCH_REDIS_URL"]),
                cwd=HERE,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        tree = Tree(process.pid)
        try:
            yield tree
        finally:
            everybody = tree.processes()
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            for each in everybody:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()

    # What jobs tell

    def watch(self, count: int, worker: Tree) -> Run:
        """A run of the first ``count`` jobs that are pending."""
        server = Tree(self.server.process.pid)
        self._wait_for(1, 0, count)
        began, used, served = time.perf_counter(), worker.cpu(), server.cpu()
        before = self._done(0, count)
        self._wait_for(count, 0, count)
        seconds = time.perf_counter() - began
        cpu = worker.cpu() - used, server.cpu() - served
        # What runs twice may do so a little later.
        time.sleep(_AFTERWARDS_SECONDS)
        self.wait_done(count)
        return Run(count - before, seconds, *cpu)

    def wait_done(self, count: int, *, first: int = 0) -> None:
        """Until so many jobs, numbered from ``first`` on, have run: once each."""
        self._wait_for(count, first, count)
        if set(self.marks[first : first + count]) != {1}:
            raise SystemExit("Not every job ran exactly once.")

    def _wait_for(self, goal: int, first: int, count: int) -> None:
        limit = time.monotonic() + LIMIT_SECONDS
        while (done := self._done(first, count)) < goal:
            if time.monotonic() > limit:
                raise SystemExit(f"Only {done} of {count} jobs ran. {self.log()}")
            time.sleep(_LOOK_SECONDS)

    def _done(self, first: int, count: int) -> int:
        return count - self.marks[first : first + count].count(0)

    def log(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")[-2000:]

    def stamped(self, count: int, *, first: int = 0) -> list[float]:
        return list(struct.unpack_from(f"{count}d", self.stamps, first * 8))

    # What the server counts

    def sent(self) -> int:
        """How many commands clients have sent, apart from what this program asks."""
        counted = self.client.info("commandstats")
        return sum(
            calls["calls"]
            for name, calls in counted.items()
            if name.removeprefix("cmdstat_").partition("|")[0] in SENT
        )

    def listen(self, seconds: float) -> int:
        """How many commands clients send within so long; few, or it would cost time."""
        with socket.create_connection(("127.0.0.1", self.port)) as monitor:
            monitor.sendall(b"MONITOR\r\n")
            time.sleep(seconds)
            monitor.setblocking(False)
            heard = b""
            with suppress(BlockingIOError):
                while data := monitor.recv(1 << 16):
                    heard += data
        return sum(b" lua]" not in line for line in heard.splitlines()[1:])

    def memory(self) -> int:
        with suppress(redis.ResponseError):
            self.client.execute_command("MEMORY", "PURGE")
        return int(self.client.info("memory")["used_memory"])


class Tree:
    """A process and all below it."""

    def __init__(self, root: int) -> None:
        self.root = root

    def processes(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self.root)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu(self) -> float:
        """Seconds, with those of children that have ended."""
        seconds = 0.0
        for each in self.processes():
            with suppress(psutil.NoSuchProcess):
                seconds += sum(each.cpu_times()[:4])
        return seconds

    def memory(self) -> list[Any]:
        """Of each process."""
        return [each.memory_full_info() for each in self.processes()]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
