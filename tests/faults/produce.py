"""Producers: process after process enqueues some jobs, and says what it was told."""

from __future__ import annotations

import os
import sys

import django


def enqueue(first: int, delay: float) -> None:
    """Numbers ``first`` to ``first + 4``: one, three in one call, and one."""
    # Only now: apps have to be there.
    from tests.faults import jobs

    work = jobs.work.using(run_after=delay) if delay else jobs.work
    work.delay(first, 0)
    _say(first)
    work.delay_many([(first + place, 0) for place in (1, 2, 3)])
    _say(first + 1, first + 2, first + 3)
    work.delay(first + 4, 0)
    _say(first + 4)


def _say(*numbers: int) -> None:
    os.write(1, "".join(f"{number}\n" for number in numbers).encode())


def main(processes: int, delay: float) -> None:
    django.setup()
    for place in range(processes):
        pid = os.fork()
        if not pid:
            enqueue(place * 5, delay)
            os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
