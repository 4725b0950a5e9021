"""What jobs take of the server's memory, and what a worker takes that has no work."""

from __future__ import annotations

import json
import time

from .latency import warm_up
from .sizes import Figures, Sizes
from .stage import Stage
from .subjects import Subject

_JOBS = 10_000


def memory(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """Bytes a pending job beyond its arguments, and a finished one beyond its
    arguments and result.
    """
    count = sizes.of(_JOBS)
    subject = subject.having(keep=count)
    arguments = sum(len(json.dumps([[i, "x"], {}])) for i in range(count))
    results = sum(len(json.dumps(i)) for i in range(count))
    # Scripts, and buffers of connections, are there before.
    stage.fill(subject, 1_000)
    with stage.worker(subject):
        stage.wait_done(1_000)
    stage.clear()
    before = stage.memory()
    stage.fill(subject, count)
    pending = stage.memory() - before
    with stage.worker(subject):
        stage.wait_done(count)
    finished = stage.memory() - before
    return {
        "pending_bytes": (pending - arguments) / count,
        "finished_bytes": (finished - arguments - results) / count,
    }


def idle(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """A worker that has run a few jobs, and then has none for a while."""
    with stage.worker(subject) as worker:
        warm_up(stage, subject)
        # As it starts it looks for what dead ones left.
        time.sleep(min(5.0, sizes.idle_seconds))
        used, began = worker.cpu(), time.perf_counter()
        commands = stage.listen(sizes.idle_seconds)
        seconds = time.perf_counter() - began
        figures = {
            "commands_s": commands / seconds,
            "cpu_percent": (worker.cpu() - used) / seconds * 100,
        }
        processes = worker.memory()
    # Who forks shares memory with its children: PSS counts it once.
    shared = [getattr(each, "pss", each.rss) for each in processes]
    return {
        **figures,
        "rss_mb": max(each.rss for each in processes) / 2**20,
        "pss_mb": sum(shared) / 2**20,
    }
