"""No-op jobs a second, all of them pending before the worker starts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from .sizes import Figures, Sizes
from .stage import HERE, Stage, free_port
from .subjects import OWN, Subject

# The proxy itself takes the rest of a millisecond.
ADDED_SECONDS = 0.0007
_PINGS = 50


def busy(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """Until all are done. Retention has to remove two of three results meanwhile."""
    count = sizes.of(subject.jobs)
    return _run(stage, subject.having(keep=count // 3), count)


def far(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """The same with the server at the other end of a network."""
    count = sizes.of(subject.jobs)
    with distant(stage.port) as (port, milliseconds):
        figures = _run(stage, subject.having(keep=count // 3), count, port)
    return {**figures, "round_trip_ms": milliseconds}


def _run(
    stage: Stage, subject: Subject, count: int, port: int | None = None
) -> Figures:
    stage.fill(subject, count)
    before = stage.sent()
    with stage.worker(subject, port) as worker:
        run = stage.watch(count, worker)
        sent = stage.sent() - before
    figures = {
        "jobs_s": run.jobs / run.seconds,
        "worker_us": run.worker_cpu / run.jobs * 1e6,
        "server_us": run.server_cpu / run.jobs * 1e6,
    }
    if subject.adapter == OWN:
        figures["round_trips"] = sent / count
    return figures


def deep(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """The rate of the first jobs where very many are pending, and where no more are."""
    rates = {}
    count = sizes.of(subject.jobs)
    if count >= sizes.depth:
        raise SystemExit(f"'deep' needs a --depth of more than {count:,}.")
    for name, pending in (("shallow_s", count), ("deep_s", sizes.depth)):
        stage.clear()
        stage.fill(subject, pending)
        with stage.worker(subject) as worker:
            run = stage.watch(count, worker)
        rates[name] = run.jobs / run.seconds
    return rates


@contextmanager
def distant(server_port: int) -> Iterator[tuple[int, float]]:
    """A port that answers later, and how long a round trip takes there: the median."""
    port = free_port()
    words = (str(port), str(server_port), str(ADDED_SECONDS))
    proxy = subprocess.Popen([sys.executable, str(HERE / "proxy.py"), *words])
    try:
        yield port, _round_trip_ms(port)
    finally:
        proxy.terminate()
        proxy.wait()


def _round_trip_ms(port: int) -> float:
    limit = time.monotonic() + 30
    with redis.Redis(port=port, protocol=2) as client:
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.05)
        taken = []
        for _ in range(_PINGS):
            began = time.perf_counter()
            client.ping()
            taken.append(time.perf_counter() - began)
    return sorted(taken)[_PINGS // 2] * 1000
