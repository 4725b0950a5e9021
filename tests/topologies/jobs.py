"""What the workers of these tests run."""

from __future__ import annotations

import os
import signal
import threading

from django_redisjobs import current_job, job


@job
def add(one: int, two: int) -> int:
    return one + two


@job(queue="low")
def double(number: int) -> int:
    return 2 * number


@job
def kill_once() -> int:
    """Kills its process in its first run."""
    this = current_job()
    assert this is not None
    if this.run == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return this.run


@job
def nap(seconds: float) -> int:
    """Takes its time; gives the number of its run."""
    threading.Event().wait(seconds)
    this = current_job()
    assert this is not None
    return this.run
