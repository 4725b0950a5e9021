"""What each using process does: hold the users' lock, find or start the server."""

from __future__ import annotations

import errno
import fcntl
import os
import site
import socket
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic

from django_redisjobs.embedded.binary import find_server
from django_redisjobs.embedded.home import Home, is_still, locked, open_lock
from django_redisjobs.exceptions import ConfigurationError

# Seconds. A server that still loads its file then is handed out nevertheless: it
# says so itself to whoever asks.
START_TIMEOUT = 10.0
LONGEST_LOG = 1024 * 1024
_GLANCE = 0.02
# After these, as on a read-only file system, to try again would not help.
_UNUSABLE = (PermissionError, NotADirectoryError, FileExistsError)


class ServerNotStarted(OSError):
    """The embedded server could not be started; the message has its last words."""


class _InUse:
    """What this process holds: for each folder its users' lock and its socket."""

    def __init__(self) -> None:
        self.thread_lock = threading.Lock()
        self.descriptors: dict[Path, int] = {}
        self.sockets: dict[Path, str] = {}

    def after_fork(self) -> None:
        # The descriptors stay: they are the child's hold on the server, too. But
        # another thread of the parent may have had the lock.
        self.thread_lock = threading.Lock()


_in_use = _InUse()
os.register_at_fork(after_in_child=_in_use.after_fork)


def socket_of(folder: Path) -> str:
    """The socket as this process knows it; the first time, ``ensure``'s."""
    return _in_use.sockets.get(folder) or ensure(folder)


def ensure(folder: Path) -> str:
    """The socket of the server in ``folder``, started if it does not run.

    From then on this process, and what it forks, counts as a user: the server
    stays until all of them are gone.

    Raises:
        ConfigurationError: no server binary, or a folder that cannot be used.
        ServerNotStarted: it does not come up; the message says why.
    """
    home = Home(folder)
    try:
        with _in_use.thread_lock:
            home.prepare()
            _hold(home)
            path = _running(home) or _start(home)
            _in_use.sockets[folder] = path
            return path
    except OSError as error:
        if not isinstance(error, _UNUSABLE) and error.errno != errno.EROFS:
            raise
        raise ConfigurationError(
            f"The embedded server cannot use {folder}: {error}. Run as the user that "
            f'owns it, or set REDISJOBS["URL"] to "embedded:///another/folder".'
        ) from error


def _hold(home: Home) -> None:
    """Count as a user. Waits while a guardian that found none is just ending."""
    held = _in_use.descriptors.pop(home.folder, None)
    # A daemon may have closed all descriptors, or someone deleted the folder.
    while held is None or not is_still(held, home.users_lock):
        held = open_lock(home.users_lock)
        fcntl.flock(held, fcntl.LOCK_SH)
    _in_use.descriptors[home.folder] = held


def _running(home: Home) -> str:
    path = home.address()
    return path if path and home.guarded() and _answer(path) else ""


def _start(home: Home) -> str:
    ticks = threading.Event()
    spawned = False
    with locked(home.start_lock):
        deadline = monotonic() + START_TIMEOUT
        while True:
            answer = _answer(home.address())
            late = monotonic() > deadline
            # Asked after the answer: a guardian that gave up leaves no server. One
            # that was found here may have been ending; one's own was not.
            guarded = home.guarded()
            if (late and not answer) or (spawned and not guarded):
                raise ServerNotStarted(_last_words(home))
            if not guarded:
                _spawn_guardian(home)
                spawned = True
            elif answer and (late or not answer.startswith(b"-LOADING")):
                return home.address()
            else:
                ticks.wait(_GLANCE)


def _last_words(home: Home) -> str:
    return (
        f"The embedded server in {home.folder} did not start. Its logs there end "
        f"with:\n{home.log_tail()}"
    )


def _answer(path: str) -> bytes:
    """What the server says to PING; empty when there is none."""
    if not path:
        return b""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(1.0)
        try:
            asking.connect(path)
            asking.sendall(b"PING\r\n")
            return asking.recv(64)
        except PermissionError:
            raise
        except OSError:
            return b""


def _spawn_guardian(home: Home) -> None:
    """Returns when the guardian holds its lock, or has failed to."""
    command = [_python(), "-P", "-m", "django_redisjobs.embedded"]
    server, chosen = find_server(home.folder), home.choose_socket()
    for log in (home.guardian_log, home.server_log):
        _empty_if_long(log)
    with home.guardian_log.open("ab") as output:
        # Nothing of the caller is kept open by it: a pipe or terminal that outlived
        # the caller would keep tox, a shell or a CI waiting.
        guardian = subprocess.Popen(
            [*command, home.folder, "--server", server, "--socket", chosen],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={**os.environ, **_where_packages_are()},
            start_new_session=True,
        )
    # It forks once it has its lock, and what was started here ends.
    guardian.wait(START_TIMEOUT)


def _where_packages_are() -> dict[str, str]:
    """Lets another interpreter find this package where it is no installed one."""
    root = os.fspath(Path(__file__).parents[2])
    # Installed packages on PYTHONPATH would come before the standard library, and
    # some (old backports) have the names of its modules.
    if root in site.getsitepackages() or root == site.getusersitepackages():
        return {}
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (root, inherited)))}


def _python() -> str:
    """The interpreter; inside a server such as uWSGI ``sys.executable`` is that."""
    if Path(sys.executable or "").name.startswith(("python", "pypy")):
        return sys.executable
    return os.path.join(sys.prefix, "bin", "python3")


def _empty_if_long(log: Path) -> None:
    if log.exists() and log.stat().st_size > LONGEST_LOG:
        log.write_bytes(b"")
