"""Jobs that write down, outside Redis, when which process began and ended them."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

from django_redisjobs import current_job, get_connection, job
from django_redisjobs.core import payload, producer
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import NewJob
from django_redisjobs.core.scripts import perform


def write(kind: str, number: int) -> int:
    """One line, in one write to a file opened for appending: whole, also when killed.

    Gives the number of the run.
    """
    context = current_job()
    assert context is not None
    words = (kind, number, os.getpid(), time.monotonic(), context.run)
    line = " ".join(map(str, words)) + "\n"
    handle = os.open(os.environ["FAULTS_HISTORY"], os.O_WRONLY | os.O_APPEND)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)
    return context.run


@job(retry=0, timeout=600)
def work(number: int, seconds: float) -> list[int]:
    write("start", number)
    if seconds:
        time.sleep(seconds)  # noqa: TID251 - what the job is for
    return [number, write("end", number)]


@job(retry=0, timeout=600)
def hold(number: int, seconds: float) -> list[int]:
    """Lets no other thread of its process run."""
    write("start", number)
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return [number, write("end", number)]


@job(retry=0, timeout=600)
async def block(number: int, seconds: float) -> list[int]:
    """Lets no other coroutine of its process run."""
    write("start", number)
    time.sleep(seconds)  # noqa: ASYNC251, TID251 - what the job is for
    return [number, write("end", number)]


@job(retry=0, timeout=600)
def call(number: int, other: int, other_id: str, patience: float) -> list[int]:
    """Enqueues another job, and does not end before that has."""
    write("start", number)
    body = payload.encode_body(
        "tests.faults.jobs.work", [other, 0], {}, {}, payload.Codec()
    )
    new = NewJob(other_id, "default", body)
    perform(get_connection(), producer.enqueue(GroupKeys(), [new]))
    _wait_for("end", other, patience)
    return [number, write("end", number)]


def _wait_for(kind: str, number: int, patience: float) -> None:
    deadline = time.monotonic() + patience
    path = Path(os.environ["FAULTS_HISTORY"])
    while f"{kind} {number} " not in path.read_text():
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)  # noqa: TID251 - nobody announces it
