"""Many jobs, and a kill -9 each second until all have ended; then what became of them.

``python -m tests.faults.soak --jobs 100000 --seed 1``. Ends with 1 when anything is
wrong. A job is of three queues, and takes nothing or some milliseconds.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from django_redisjobs.core.records import JobStatus
from tests.faults.experiments import kill_someone
from tests.faults.harness import QUEUES, Site
from tests.servers import Server

CHUNK = 500
WORKERS = 2
LAST_SECONDS = 120.0
"""For what is left when the killing ends."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    server = Server(append_only=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            site = Site(Path(folder), server)
            try:
                return run(site, given.jobs, random.Random(given.seed), given.every)
            finally:
                site.end()
    finally:
        server.stop()


def run(site: Site, jobs: int, rng: random.Random, every: float) -> int:
    """Gives the exit code."""
    enqueue(site, jobs, rng)
    began = time.monotonic()
    kills = torment(site, rng, every)
    seconds = time.monotonic() - began
    complaints = site.complaints(LAST_SECONDS)
    history = site.history()
    lost = sum(
        all(run.ended is None for run in history.runs_of(number)) for number in site.ids
    )
    crashes = sum(record.crashes for record in site.records().values())
    print(
        f"{jobs:,} jobs in {seconds:.0f} s, {kills} times kill -9: {lost} lost, "
        f"{history.reruns} runs again ({crashes} crashes charged), "
        f"{len(complaints)} complaints of the checker and the doctor"
    )
    for line in complaints[:50]:
        print(line)
    return 1 if complaints else 0


def enqueue(site: Site, jobs: int, rng: random.Random) -> None:
    for first in range(0, jobs, CHUNK):
        seconds = [
            [rng.choice([0, 0, 0, 0.001, 0.002, 0.005])]
            for _ in range(min(CHUNK, jobs - first))
        ]
        site.add(*seconds, queue=rng.choice(QUEUES))


def torment(site: Site, rng: random.Random, every: float) -> int:
    """Kill until all jobs have ended; gives how often."""
    kills, told = 0, time.monotonic()
    while site.count(JobStatus.SUCCEEDED) < len(site.ids):
        while len(site.running) < WORKERS:
            site.start_worker("--processes", "2")
        site.pause(every)
        kill_someone(site, rng)
        kills += 1
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{site.count():,} have ended after {kills} kills", flush=True)
    return kills


if __name__ == "__main__":
    sys.exit(main())
