"""Runs a command and ends it when whoever started this guard is gone.

``python guard.py COMMAND...``, with a pipe as standard input that the starter holds:
the pipe ends when the starter closes it, and also when the starter was killed. So
nothing is left running, whatever happened above. This is a process of its own because
the worker must fork without other threads beside it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

PATIENCE_SECONDS = 20


def main(command: list[str]) -> int:
    """Run the command; returns its exit code."""
    # A group of its own, so that what the command leaves behind can be ended too.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, process_group=0
    ) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        threading.Thread(target=end_with_starter, args=[process], daemon=True).start()
        code = process.wait()
    kill_group(process)
    return code if code >= 0 else 128 - code


def end_with_starter(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of standard input, then end the command."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    process.terminate()
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the command's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
