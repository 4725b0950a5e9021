"""Measure this package on a private server: see README.md beside this file."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import mmap
import os
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

import redis

from tests.servers import Server, find_server

SLOTS = 200_000
Figures = dict[str, float]


class Bench:
    """The server, the mapped files and the producer of one benchmark."""

    def __init__(self) -> None:
        self.server = Server()
        self.client = self.server.client()
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir=self.server.folder))
        self.marks = self._map(folder / "marks", SLOTS)
        self.stamps = self._map(folder / "stamps", SLOTS * 8)
        self.environment = {
            "BENCH_REDIS_URL": self.server.url,
            "BENCH_MARKS": str(folder / "marks"),
            "BENCH_STAMPS": str(folder / "stamps"),
            "DJANGO_SETTINGS_MODULE": "adapters.redisjobs_settings",
            "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}",
        }
        os.environ.update(self.environment)
        self.jobs: Any = importlib.import_module("adapters.django_redisjobs_")

    @staticmethod
    def _map(path: Path, size: int) -> mmap.mmap:
        with path.open("w+b") as file:
            file.truncate(size)
            return mmap.mmap(file.fileno(), size)

    def clear(self) -> None:
        try:
            self.client.execute_command("FLUSHALL", "SYNC")
        except redis.ResponseError:
            self.client.flushall()  # before 6.2 there is no other way than this
        self.marks[:] = bytes(len(self.marks))
        self.stamps[:] = bytes(len(self.stamps))

    @contextmanager
    def worker(self, *arguments: str) -> Iterator[None]:
        command = [sys.executable, "-m", "django", "runworker", "-v", "0", *arguments]
        process = subprocess.Popen(command, env={**os.environ, **self.environment})
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    def wait_for(self, count: int, limit_s: float = 120) -> tuple[float, int, float]:
        """When the first was seen done, how many were then, when the last was."""
        began = time.monotonic()
        first = None
        while time.monotonic() - began < limit_s:
            done = count - self.marks[:count].count(0)
            if done and first is None:
                first = (time.perf_counter(), done)
            if done == count:
                assert first is not None
                return *first, time.perf_counter()
            time.sleep(0.002)
        raise SystemExit(f"Only {done} of {count} jobs ran within {limit_s} s.")

    def fill(self, count: int) -> None:
        for first in range(0, count, 1000):
            self.jobs.enqueue_bulk(range(first, min(first + 1000, count)))


def measure_enqueue(bench: Bench, count: int) -> Figures:
    bench.jobs.enqueue(range(20))
    began = time.perf_counter()
    bench.jobs.enqueue(range(count))
    return {"jobs_s": count / (time.perf_counter() - began)}


def measure_bulk(bench: Bench, count: int) -> Figures:
    began = time.perf_counter()
    bench.fill(count * 5)
    return {"jobs_s": count * 5 / (time.perf_counter() - began)}


def measure_throughput(bench: Bench, count: int) -> Figures:
    count *= 4
    bench.fill(count)
    with bench.worker("--processes", "1"):
        first, done, last = bench.wait_for(count)
    if set(bench.marks[:count]) != {1}:
        raise SystemExit("Not every job ran exactly once.")
    return {"jobs_s": (count - done) / (last - first)}


def measure_latency(bench: Bench, count: int) -> Figures:
    count = min(count, 300)
    with bench.worker("--processes", "1"):
        bench.jobs.enqueue(range(5))
        bench.wait_for(5)
        bench.marks[:5] = bytes(5)
        for number in range(count):
            time.sleep(0.02)
            bench.jobs.enqueue_lat(number, time.time())
        bench.wait_for(count)
    lateness = sorted(
        seconds * 1000 for seconds in struct.unpack_from(f"{count}d", bench.stamps)
    )
    return {
        "p50_ms": statistics.median(lateness),
        "p99_ms": lateness[int(count * 0.99) - 1],
    }


def measure_memory(bench: Bench, count: int) -> Figures:
    del count
    jobs = 10_000
    # Scripts, and buffers of connections, are there before.
    bench.fill(1000)
    bench.clear()
    before = bench.client.info("memory")["used_memory"]
    bench.fill(jobs)
    after = bench.client.info("memory")["used_memory"]
    payload = sum(len(json.dumps([[i, "x"], {}])) for i in range(jobs))
    return {"bytes_per_job": (after - before - payload) / jobs}


MEASURES: dict[str, Callable[[Bench, int], Figures]] = {
    "enqueue": measure_enqueue,
    "bulk": measure_bulk,
    "throughput": measure_throughput,
    "latency": measure_latency,
    "memory": measure_memory,
}


def versions(bench: Bench) -> dict[str, str]:
    server = bench.client.info("server")
    found = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "server": str(server.get("valkey_version") or server["redis_version"]),
        "binary": Path(find_server()).name,
    }
    for name in ("django-redisjobs", "Django", "redis", "hiredis"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measures", default=",".join(MEASURES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="figures for programs")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    bench = Bench()
    figures: dict[str, dict[str, list[float]]] = {}
    try:
        facts = versions(bench)
        for _ in range(options.rounds):
            for name in options.measures.split(","):
                bench.clear()
                for unit, value in MEASURES[name](bench, options.jobs).items():
                    figures.setdefault(name, {}).setdefault(unit, []).append(value)
    finally:
        bench.server.stop()
    if options.json:
        print(json.dumps({"versions": facts, "figures": figures}, indent=1))
        return
    print(" · ".join(f"{name} {value}" for name, value in facts.items()))
    for name, units in figures.items():
        for unit, values in units.items():
            print(
                f"{name:12} {unit:14} {statistics.median(values):12,.1f}   "
                f"({min(values):,.1f} to {max(values):,.1f})"
            )


if __name__ == "__main__":
    main()
