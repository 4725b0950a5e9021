"""The folder of one embedded server: where what is, and its locks."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# A socket's path has 104 bytes on macOS and 108 on Linux; a server that is told a
# longer one dies at its start.
LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True, slots=True)
class Home:
    """The files of one embedded server. Nothing here starts or stops anything."""

    folder: Path

    @property
    def users_lock(self) -> Path:
        return self.folder / "users.lock"

    @property
    def guardian_lock(self) -> Path:
        return self.folder / "guardian.lock"

    @property
    def server_lock(self) -> Path:
        return self.folder / "server.lock"

    @property
    def start_lock(self) -> Path:
        return self.folder / "start.lock"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def server_log(self) -> Path:
        return self.folder / "server.log"

    @property
    def guardian_log(self) -> Path:
        return self.folder / "guardian.log"

    @property
    def _address(self) -> Path:
        return self.folder / "socket-path"

    def prepare(self) -> None:
        """Make the folder, private and ignored by git.

        Raises:
            PermissionError: it exists and somebody else owns it, or something in it
                where others may write: there could be a server of his. (Root takes it
                as it is, as for a shell in a container.)
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found, user = self.folder.stat(), os.getuid()
        is_open = bool(found.st_mode & 0o022)
        others = set(_owners_in(self.folder)) - {user, 0} if is_open else set()
        # Root's own will do, if nobody else may write there.
        if found.st_uid != user and (found.st_uid or is_open):
            others.add(found.st_uid)
        if user and others:
            whose = ", ".join(map(str, sorted(others)))
            raise PermissionError(f"it, or a file in it, belongs to user {whose}")
        if found.st_uid == user and is_open:
            # It may be there for other things, too, which others may read.
            self.folder.chmod(stat.S_IMODE(found.st_mode) & ~0o022)
        ignored = self.folder / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n")

    def address(self) -> str:
        """The socket that the guardian chose last; empty when none ever did.

        Written down, because a long folder's socket lives under the temporary
        directory, and processes may have different ones.
        """
        try:
            return os.fsdecode(self._address.read_bytes())
        except FileNotFoundError:
            return ""

    def publish(self, address: str) -> None:
        """Tell every process where the socket is, all of it or nothing."""
        draft = self._address.with_suffix(".new")
        draft.write_bytes(os.fsencode(address))
        draft.replace(self._address)

    def choose_socket(self) -> str:
        """A path short enough for a socket, in a folder that is only ours.

        Raises:
            PermissionError: the short folder exists and belongs to somebody else.
        """
        path = os.fspath(self.folder / "server.sock")
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        name = f"redisjobs-{os.getuid()}-{digest}"
        for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - checked below
            path = os.path.join(parent, name, "s")
            if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
                break
        _make_private(Path(path).parent)
        return path

    def remove_socket(self, address: str) -> None:
        """Tidy up after a server that has ended."""
        path = Path(address)
        path.unlink(missing_ok=True)
        if path.parent != self.folder:
            with suppress(OSError):
                path.parent.rmdir()

    def guarded(self) -> bool:
        """Whether a guardian lives."""
        try:
            fd = os.open(self.guardian_lock, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look do not take each other for a guardian.
            return not try_lock(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def log_tail(self) -> str:
        """The last lines of both logs, for an error message."""
        lines = []
        for log in (self.guardian_log, self.server_log):
            with suppress(OSError):
                lines += log.read_text(errors="replace").splitlines()[-6:]
        return "\n".join(lines)


def open_lock(path: Path) -> int:
    """A descriptor to lock; not inherited by programs that this one starts."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def try_lock(fd: int, kind: int) -> bool:
    """Take the lock if nobody stands in the way; never waits."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock; waits for whoever has it."""
    fd = open_lock(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def is_still(fd: int, path: Path) -> bool:
    """Whether ``fd`` is open on the very file that ``path`` now names."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False


def _owners_in(folder: Path) -> Iterator[int]:
    for each in folder.iterdir():
        with suppress(FileNotFoundError):
            yield each.lstat().st_uid


def _make_private(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if not private or found.st_uid != os.getuid():
        raise PermissionError(
            f"{folder} has to be a folder of this user alone, and is not. Remove it, "
            f"or choose a folder with a shorter path: its sockets can go there."
        )
