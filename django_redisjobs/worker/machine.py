"""Which machine and process this is, and whether another one still lives here."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_DEAD_STATES = frozenset("ZX")

_HAS_PROC: Final = Path("/proc/self/statm").exists()
_PS_SECONDS: Final = 5.0

MEASURE_SECONDS: Final = 0.01 if _HAS_PROC else 1.0
"""So often a process may ask what it holds: without /proc a program has to tell."""


def boot_id() -> str:
    """Names this boot of this machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """Pids mean the same only inside one namespace (containers have their own)."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def process_state(pid: int) -> tuple[str, str] | None:
    """State letter and start time (clock ticks since boot) of a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name is in parentheses and may hold spaces and parentheses itself.
    fields = text.rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else None


def identity() -> dict[str, str]:
    """What a worker registers so that others on this machine can know it dead."""
    pid = os.getpid()
    return {
        "host": platform.node(),
        "pid": str(pid),
        "boot_id": boot_id(),
        "pid_ns": pid_namespace(),
        "start_time": _start_time(pid),
    }


def supervised_identity() -> dict[str, str]:
    """The identity of a supervisor's child: it names the supervisor, too."""
    supervisor = os.getppid()
    return {
        **identity(),
        "supervisor": str(supervisor),
        "supervisor_start_time": _start_time(supervisor),
    }


def is_left_alone(info: Mapping[str, str]) -> bool:
    """Whether a worker is dead, and nobody else is there to bring back what it held.

    A supervisor knows what a dead child was running and what killed it: while it
    lives, its children are its own to bury. True only if every sign says so: same
    boot, same namespace, processes gone. Anything unknown means False: the lease will
    tell.
    """
    here = (boot_id(), pid_namespace())
    if not all(here) or here != (info.get("boot_id"), info.get("pid_ns")):
        return False
    if not _is_gone(info.get("pid", ""), info.get("start_time", "")):
        return False
    supervisor = info.get("supervisor")
    return supervisor is None or _is_gone(
        supervisor, info.get("supervisor_start_time", "")
    )


def _is_gone(pid: str, start_time: str) -> bool:
    if not pid.isdigit() or not start_time:
        return False
    state = process_state(int(pid))
    if state is None:
        # Where /proc hides the processes of other users, they are alive all the same.
        return not _answers(int(pid))
    return state[0] in _DEAD_STATES or state[1] != start_time


def _answers(pid: int) -> bool:
    """Whether there is a process of that number, whosever it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # There is one that may not be told anything.
        return True
    return True


def _start_time(pid: int) -> str:
    state = process_state(pid)
    return state[1] if state else ""


def adopts_orphans() -> bool:
    """Whether this process gets the children of all who die, and has to bury them: the
    first of a container does.
    """
    return os.getpid() == 1


def resident_bytes(pid: int | None = None) -> int:
    """What this process, or that one, holds in RAM now; 0 where nobody tells."""
    if not _HAS_PROC:
        return _asked_of_ps(pid or os.getpid())
    try:
        pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _asked_of_ps(pid: int) -> int:
    command = ["ps", "-o", "rss=", "-p", str(pid)]
    try:
        told = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_PS_SECONDS,
        )
        return int(told.stdout) * 1024
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0
