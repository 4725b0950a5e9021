"""A load on queues of three groups, while the servers beneath it change.

The site, its jobs and its checker are those of the fault tests. What is asked of Redis
goes through the project's own clients, as they have to follow, too.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis

from django_redisjobs import conf, connections
from django_redisjobs.core.records import JobStatus
from django_redisjobs.exceptions import EnqueueError
from tests.faults.harness import LIMIT, ROOT, Site
from tests.faults.jobs import work


class Front:
    """All the servers, as the site knows one."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self, **_: object) -> redis.Redis:
        return connections.client()


class Load(Site):
    """A site whose producer and workers are never told what befalls the servers."""

    @classmethod
    def on(cls, folder: Path, redisjobs: Mapping[str, Any]) -> Load:
        """For the settings of this process, which the workers get, too."""
        queues = redisjobs["QUEUES"]
        front: Any = Front(redisjobs["URL"])
        return cls(
            folder,
            front,
            # So long that no lease ends for want of a server.
            lease=60.0,
            groups={conf.keys_for(queue): [queue] for queue in queues},
            environment={"FAULTS_QUEUES": json.dumps(queues)},
        )

    def until(
        self, condition: Callable[[], Any], what: str, limit: float = LIMIT
    ) -> Any:
        """Look again, also where nobody answered."""

        def look() -> Any:
            with contextlib.suppress(redis.RedisError):
                return condition()

        return super().until(look, what, limit)

    def count(self, status: JobStatus = JobStatus.SUCCEEDED) -> int:
        counts: list[int] = self.until(
            lambda: [super(Load, self).count(status)], "Redis tells how many"
        )
        return counts[0]

    def wait_progress(self, jobs: int, limit: float = LIMIT) -> None:
        """Until so many more jobs have ended; while they flow there are more."""
        target = self.count() + jobs
        self.until(lambda: self.count() >= target, f"{target} jobs have ended", limit)

    @contextlib.contextmanager
    def flowing(self) -> Iterator[None]:
        """While this lasts jobs are enqueued, a few at once, on all the queues."""
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            producer = pool.submit(self._produce, over)
            try:
                yield
            finally:
                over.set()
        producer.result()
        self.adopt()

    def _produce(self, over: threading.Event) -> None:
        """What was enqueued is expected. What may be is not: its numbers are used up."""
        rng = random.Random(4)
        queues = [queue for queues in self.groups.values() for queue in queues]
        first = 0
        while not over.is_set():
            numbers = range(first, first + 10)
            first += 10
            calls = [(number, rng.choice((0, 0.005, 0.01, 0.03))) for number in numbers]
            with contextlib.suppress(EnqueueError):
                handles = work.using(queue=rng.choice(queues)).delay_many(calls)
                self.ids |= {
                    number: handle.id
                    for number, handle in zip(numbers, handles, strict=True)
                }
            # More than the workers do, so that there is always something to do.
            self.pause(0.01)

    def verdict(self) -> list[str]:
        """``complaints``, those of ``redisjobs doctor``, and no worker that gave up."""
        found = self.complaints(limit=200)
        found += [
            f"a worker ended with {each.returncode}"
            for each in self.workers
            if each.returncode
        ]
        doctor = subprocess.run(
            [sys.executable, "-m", "django", "redisjobs", "doctor"],
            cwd=ROOT,
            env=self.surroundings(),
            capture_output=True,
            text=True,
            check=False,
        )
        return found + ([doctor.stdout + doctor.stderr] if doctor.returncode else [])

    def next_end(self, moment: float, queue: str) -> float:
        """When the first job of a queue ended that began after ``moment``."""
        history = self.history()
        return min(
            run.ended
            for number, record in self.records().items()
            if record.queue == queue
            for run in history.runs_of(number)
            if run.started > moment and run.ended is not None
        )
