"""A fork server: workers that need not import everything anew.

To start Python and to import Django, redis-py and the package takes more than half a
second of CPU, and tests start hundreds of workers. Here one process a pytest process has
imported what needs no settings, and opened nothing. For each request it forks a keeper,
and the keeper a process that runs a module as ``python -m`` would, with an environment of
its own. The keeper waits for it, and tells the status.

What tells such a worker from one that was started by exec: its command line as others
see it, and that it shares its seed of hashes with its like. Who tests one of these wants
``subprocess``. Where the environment tells the interpreter to start otherwise than the
server did, as a path with another clock does, it is started by exec here as well.

It ends when the process that uses it ends, however that ends, and takes along what it
has forked: on Linux by the kernel.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from django_redisjobs.worker.forking import die_with_parent

ROOT = Path(__file__).resolve().parent.parent
# What workers import, but for what defines models: that wants settings.
PRELOADED = (
    "django.db.backends.sqlite3.base",
    "django.db.migrations",
    "django.urls",
    "django.views.debug",
    "django_redisjobs.apps",
    "django_redisjobs.checks",
    "django_redisjobs.decorators",
    "django_redisjobs.management.commands.runworker",
    "django_redisjobs.queues",
    "environ",
)

_PYTHON = (sys.executable, "-W", "error::RuntimeWarning", "-m")
# What a keeper tells, each with a number: the pid, the exit status.
_STARTED, _ENDED = "started", "ended"


class Forked:
    """What ``subprocess.Popen`` is to a process that was started by exec.

    Raises ChildProcessError when it ended before it was what it had to be.
    """

    def __init__(self, connection: Connection, arguments: list[str]) -> None:
        self.args = arguments
        word, number = connection.recv()
        if word != _STARTED:
            raise ChildProcessError(f"{arguments} {word} with {number}.")
        self.pid: int = number
        self.returncode: int | None = None
        self._connection = connection

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not self._connection.poll(timeout):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            try:
                _, self.returncode = self._connection.recv()
            except EOFError:
                # Its keeper was killed, and took it along.
                self.returncode = -signal.SIGKILL
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        # Who has ended has been waited for, and the pid may be another's by now.
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Started = subprocess.Popen[bytes] | Forked


def _read_by_python(environment: Mapping[str, str]) -> dict[str, str]:
    return {key: environment[key] for key in environment if key.startswith("PYTHON")}


@functools.cache
def _environment() -> dict[str, str]:
    """Of the server, without settings: who asks for one before a worker has its own
    makes a mistake, and shall be told so.
    """
    found = {**os.environ, "PYTHONPATH": str(ROOT)}
    found.pop("DJANGO_SETTINGS_MODULE", None)
    return found


def start(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    log: IO[bytes],
    start_new_session: bool = False,
) -> Started:
    """``python -W error::RuntimeWarning -m module argument …`` in the root of the
    project. What it writes goes to the log.
    """
    if _read_by_python(environment) != _read_by_python(_environment()):
        return subprocess.Popen(
            [*_PYTHON, module, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=start_new_session,
        )
    ours, theirs = Pipe()
    with theirs:
        descriptors = [theirs.fileno(), log.fileno()]
        socket.send_fds(_running(), [b"\0"], descriptors)
    command = [module, *arguments]
    ours.send((command, dict(environment), start_new_session))
    return Forked(ours, command)


@functools.cache
def _running() -> socket.socket:
    """Where the server of this process takes requests."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [*_PYTHON, "tests.forkserver", str(theirs.fileno())],
            cwd=ROOT,
            env=_environment(),
            pass_fds=[theirs.fileno()],
            # No terminal: Python writes to one in another way than to a file.
            stdout=subprocess.DEVNULL,
        )

    @atexit.register
    def end() -> None:
        # For all who have it, be it by a fork of theirs.
        ours.shutdown(socket.SHUT_RDWR)
        ours.close()
        process.wait()

    return ours


# In the server


def _serve(requests: socket.socket) -> list[str]:
    """Returns in each worker, with the command that it is to be."""
    # Ctrl-C is for the workers. Blocked, not ignored: they are to handle it as usual.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGCHLD, _reap)
    for name in PRELOADED:
        importlib.import_module(name)
    # What nobody collects stays shared.
    gc.collect()
    gc.freeze()
    server = os.getpid()
    while True:
        _, descriptors, _, _ = socket.recv_fds(requests, 1, 2)
        if not descriptors:
            # Nobody is left who could ask.
            sys.exit()
        if not os.fork():
            requests.close()
            return _keep(server, *descriptors)
        for each in descriptors:
            os.close(each)


def _reap(*_: Any) -> None:
    """Keepers that have ended. Ignored they would be gone by themselves, and missing in
    what ``time pytest`` tells of the CPU.
    """
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _keep(server: int, descriptor: int, log: int) -> list[str]:
    """Fork a worker, and tell how it ended; returns in the worker."""
    die_with_parent(server)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with Connection(descriptor) as connection:
        command: list[str]
        command, environment, start_new_session = connection.recv()
        keeper = os.getpid()
        if pid := os.fork():
            os.close(log)
            _, status = os.waitpid(pid, 0)
            connection.send((_ENDED, os.waitstatus_to_exitcode(status)))
            os._exit(0)
        die_with_parent(keeper)
        os.environ.clear()
        os.environ.update(environment)
        for each in (1, 2):
            os.dup2(log, each)
        os.close(log)
        if start_new_session:
            os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        # Whoever waits for this may signal at once.
        connection.send((_STARTED, os.getpid()))
    return command


if __name__ == "__main__":
    name, *sys.argv[1:] = _serve(socket.socket(fileno=int(sys.argv[1])))
    # Here, within nothing else: however it ends, Python ends as it always does.
    runpy.run_module(name, run_name="__main__", alter_sys=True)
