"""How late jobs start."""

from __future__ import annotations

import math
import statistics
import time

from .sizes import Figures, Sizes
from .stage import Stage
from .subjects import Subject

WARM = 20
_JOBS = 500
_DUE_JOBS = 1_000
_DUE_IN_SECONDS = 4
_FAST_JOBS = 1_000


def idle_worker(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """From the call that enqueues to the job's first line, a job every 20 ms."""
    count = sizes.of(_JOBS)
    with stage.worker(subject):
        warm_up(stage, subject)
        stage.produce(subject, "lat", count, first=WARM)
        stage.wait_done(count, first=WARM)
    late = sorted(seconds * 1000 for seconds in stage.stamped(count, first=WARM))
    return {"p50_ms": statistics.median(late), "p99_ms": late[int(count * 0.99) - 1]}


def due(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """Delayed jobs that are due at one instant."""
    count = sizes.of(_DUE_JOBS)
    with stage.worker(subject):
        warm_up(stage, subject)
        instant = math.ceil(time.time()) + _DUE_IN_SECONDS
        stage.produce(subject, "delayed", count, first=WARM, due=instant)
        if time.time() > instant:
            raise SystemExit("The delayed jobs were not enqueued in time.")
        stage.wait_done(count, first=WARM)
    late = sorted(seconds * 1000 for seconds in stage.stamped(count, first=WARM))
    return {"first_ms": late[0], "p50_ms": statistics.median(late), "last_ms": late[-1]}


def mixed(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """How long fast jobs wait behind a slow one in their middle: by how much one of
    them ended after another that stood behind it in the queue.
    """
    count = sizes.of(_FAST_JOBS) + 1
    with stage.worker(subject):
        # So many that every process has learnt how fast the jobs are.
        stage.fill(subject, count)
        stage.wait_done(count)
        stage.forget_runs()
        stage.produce(subject, "mixed", count)
        stage.wait_done(count)
    ended = stage.stamped(count)
    del ended[count // 2]
    return {"longest_ms": longest_overtaken(ended) * 1000}


def longest_overtaken(ended: list[float]) -> float:
    earliest, longest = math.inf, 0.0
    for moment in reversed(ended):
        longest = max(longest, moment - earliest)
        earliest = min(earliest, moment)
    return longest


def warm_up(stage: Stage, subject: Subject) -> None:
    """The worker has started, and sleeps again."""
    stage.produce(subject, "one", WARM)
    stage.wait_done(WARM)
    time.sleep(1)
