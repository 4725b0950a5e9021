"""Forking a process that shares nothing by accident and never outlives its parent."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from django_redisjobs.core.failures import PEAK

from .streams import drop_unwritten, flush_streams

if TYPE_CHECKING:
    from resource import struct_rusage

_PR_SET_PDEATHSIG: Final = 1

# What a parent may handle in its own way and a child must not inherit.
_HANDLED: Final = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)

EXIT_BROKEN: Final = 1
SHORT_LIFE_SECONDS: Final = 2.0
"""Who lived no longer may have died of what its successor would die of, too."""


def prepare_to_fork() -> None:
    """Before the first fork: let the collector leave alone what all will share."""
    gc.collect()
    gc.freeze()


def fork(run: Callable[[], int], close: Iterable[int], *, apart: bool = False) -> int:
    """Run ``run`` in a new process; gives its pid. Its return value is the status.

    ``close``: descriptors that are not the new process's business. ``apart``: it gets
    a process group of its own, so that what it does to its group hits no other. Parent
    and child must both be single-threaded here.
    """
    parent = os.getpid()
    # A log that cannot be written is no reason to start nobody.
    unwritten = flush_streams()
    # No handler of the parent's may run in the child.
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        raise
    if pid:
        if apart:
            # Here too: whoever is first. It may even be dead by now.
            with suppress(OSError):
                os.setpgid(pid, pid)
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        return pid
    status = EXIT_BROKEN
    try:
        # The parent has it, too, and would write it a second time.
        drop_unwritten(unwritten)
        if apart:
            _leave_group()
        _become_child(parent, close)
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        status = run()
    except BaseException:  # noqa: BLE001 - nothing may reach the parent's stack
        traceback.print_exc()
    finally:
        _leave(status)
    raise AssertionError("unreachable")


def _become_child(parent: int, close: Iterable[int]) -> None:
    signal.set_wakeup_fd(-1)
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)
    # Ctrl-C reaches the whole terminal; only the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    die_with_parent(parent)
    for descriptor in close:
        os.close(descriptor)


def _leave_group() -> None:
    os.setpgid(0, 0)
    # In the background of a terminal now: its output must not stop it, and who waits
    # for input there is told at once that none will come.
    for name in ("SIGTTIN", "SIGTTOU"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)


def kill_group(pid: int) -> None:
    """Kill a process that was forked apart, and what it has started in its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent dies, where it can.

    Elsewhere the end of the supervisor's pipe tells.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        # It died before that was set.
        os._exit(EXIT_BROKEN)


def _leave(status: int) -> None:
    # Not sys.exit: the parent's cleanups are not this process's to run.
    try:
        flush_streams()
    finally:
        os._exit(status)


def describe_end(status: int, usage: struct_rusage) -> str:
    """What ``wait4`` says of an end, in words."""
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f"{describe_status(status)}{PEAK} {peak / 1e6:,.0f} MB"


def describe_status(status: int) -> str:
    """What ``waitpid`` says of an end, in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            return f"killed by signal {number}"
        hint = ", perhaps out of memory" if name == "SIGKILL" else ""
        return f"killed by signal {number} ({name}{hint})"
    return f"exit status {os.WEXITSTATUS(status)}"
