"""The process that watches the embedded server: starts it, starts it again when it
dies, and ends it when nobody uses it any more. It knows only the standard library.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from time import monotonic

from django_redisjobs.embedded.home import Home, is_still, open_lock, try_lock

# Seconds between two looks at the users' lock, and how many looks in a row have to
# find nobody: commands in a row should share one server, yet it has to be gone
# within ten seconds.
TICK = 1.0
IDLE_TICKS = 4
# A server that dies sooner than this has not come up; after so many, give up.
QUICK_DEATH = 2.0
MOST_QUICK_DEATHS = 3
# How long a server may take to end before it is killed.
SHUTDOWN_TIMEOUT = 4.0
_PR_SET_PDEATHSIG = 1


class AlreadyGuarded(Exception):
    """Another guardian has the folder, or a server that outlived its own does."""


class Guardian:
    """Watches one server. Create it, ``detach``, then ``run``."""

    def __init__(self, home: Home, server: str, address: str) -> None:
        self.home = home
        self.server = server
        self.address = address
        self.lock = _acquire(home.guardian_lock)
        # The server inherits this one: if it outlives its guardian (which Linux
        # prevents), the next guardian finds it locked, and does not start a second
        # server on the same file before the first one has ended.
        self.server_lock = _acquire(home.server_lock, before=self._dismiss)
        self.users = open_lock(home.users_lock)
        self.idle_ticks = 0
        self.quick_deaths = 0
        self.told_to_stop = False

    def run(self) -> int:
        """Watch until nobody uses the server, or it cannot be started."""
        self.home.data.mkdir(mode=0o700, exist_ok=True)
        self.home.publish(self.address)
        wake = _wake_on_signals(self._stop)
        process = self._start()
        while not self.told_to_stop and self._wanted():
            if process.poll() is not None:
                if self._gives_up(process):
                    return 1
                process = self._start()
            select.select([wake], [], [], TICK)
            _drain(wake)
        self._end(process)
        return 0

    def _dismiss(self) -> None:
        _say("a server outlived its guardian; it is told to end")
        with socket.socket(socket.AF_UNIX) as asking, suppress(OSError):
            asking.settimeout(1.0)
            asking.connect(self.home.address())
            asking.sendall(b"SHUTDOWN\r\n")

    def _stop(self, *_: object) -> None:
        self.told_to_stop = True

    def _wanted(self) -> bool:
        """Whether anybody uses the server; once it says no it keeps the lock, so
        that a newcomer waits for the end of this one and then starts another.
        """
        if not self._owns_folder():
            _say("the folder was deleted")
            return False
        if not try_lock(self.users, fcntl.LOCK_EX):
            self.idle_ticks = 0
            return True
        self.idle_ticks += 1
        if self.idle_ticks >= IDLE_TICKS:
            _say("nobody uses the server any more")
            return False
        fcntl.flock(self.users, fcntl.LOCK_UN)
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        self.started = monotonic()
        process = subprocess.Popen(
            [self.server, *self._options()],
            stdin=subprocess.DEVNULL,
            cwd=self.home.data,
            pass_fds=(self.server_lock,),
            # Safe: the guardian has no second thread.
            preexec_fn=partial(_die_with_parent, os.getpid()),  # noqa: PLW1509
        )
        _say(f"started {self.server} as process {process.pid}")
        return process

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": self.address,
            "unixsocketperm": "700",
            "dir": os.fspath(self.home.data),
            "appendonly": "yes",
            # With "everysec" it answers before it writes while a slow disk syncs, up
            # to two seconds: killed then, it would lose jobs that it had accepted.
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "notice",
            "logfile": os.fspath(self.home.server_log),
        }
        return [part for name in options for part in (f"--{name}", options[name])]

    def _gives_up(self, process: subprocess.Popen[bytes]) -> bool:
        _say(f"the server ended with status {process.returncode}")
        quick = monotonic() - self.started < QUICK_DEATH
        self.quick_deaths = self.quick_deaths + 1 if quick else 0
        return self.quick_deaths >= MOST_QUICK_DEATHS

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if self._owns_folder():
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(SHUTDOWN_TIMEOUT)
        # In a folder that was deleted, and perhaps made anew, the socket's path is
        # another server's by now; one that ends orderly would remove it.
        process.kill()
        process.wait()
        if self._owns_folder():
            self.home.remove_socket(self.address)
        _say("ended")

    def _owns_folder(self) -> bool:
        return is_still(self.lock, self.home.guardian_lock)


def guard(folder: str, server: str, address: str) -> int:
    """Become the guardian of ``folder``, in a process that outlives the caller.

    The calling process ends as soon as the locks are held; the guardian itself
    goes on in a child that belongs to nobody.
    """
    try:
        guardian = Guardian(Home(Path(folder)), server, address)
    except AlreadyGuarded as error:
        _say(str(error))
        return 3
    # Locks belong to open files, so the child has them without a gap.
    if os.fork():
        os._exit(0)
    return guardian.run()


def _acquire(path: Path, before: Callable[[], None] | None = None) -> int:
    """A lock, waited for: someone may just look whether it is taken, and a server
    takes a moment to die with its guardian. ``before`` tells a holder to hurry.
    """
    fd = open_lock(path)
    ticks = threading.Event()
    for attempt in range(400):
        if try_lock(fd, fcntl.LOCK_EX):
            return fd
        if before and attempt == 50:
            before()
        ticks.wait(0.01)
    raise AlreadyGuarded(f"{path} is held by another process")


def _die_with_parent(parent: int) -> None:
    """Runs in the server's process before it is the server. Linux only.

    Killed, not asked: what it has answered it has written, and a server that takes
    its time to end would meet its successor on the same file.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _wake_on_signals(stop: Callable[..., None]) -> int:
    """A pipe that becomes readable when a child died or ``stop`` was called."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return reading


def _drain(fd: int) -> None:
    with suppress(BlockingIOError):
        while os.read(fd, 512):
            pass


def _say(text: str) -> None:
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    print(now, text, flush=True)  # noqa: T201 - its stdout is the log
