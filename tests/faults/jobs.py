"""Jobs that write down, outside Redis, when which process began and ended them."""

from __future__ import annotations

import os
import time

from django_redisjobs import current_job, job


def write(*words: object) -> None:
    """One line, in one write to a file opened for appending: whole, also when killed."""
    line = " ".join(map(str, words)) + "\n"
    handle = os.open(os.environ["FAULTS_HISTORY"], os.O_WRONLY | os.O_APPEND)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


@job
def work(number: int, seconds: float) -> int:
    context = current_job()
    assert context is not None
    write("start", number, os.getpid(), time.monotonic(), context.run)
    if seconds:
        time.sleep(seconds)  # noqa: TID251 - what the job is for
    write("end", number, os.getpid(), time.monotonic(), context.run)
    return number
