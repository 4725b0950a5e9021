"""Time the admin's pages with very many jobs in Redis.

    python tests/benchmarks/admin.py [--jobs 1000000] [--rounds 5]

It fills a private server with jobs of all statuses, asks for each page through Django's
test client, and prints how long that took and how many round trips to Redis it made. It
ends with 1 when a page took longer than ``--limit`` milliseconds (300).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import redis

from tests.servers import Server

QUEUES = ("high", "default", "low")
FUNCTIONS = (
    *("shop.jobs.send_confirmation", "shop.jobs.resize_picture"),
    *("shop.jobs.import_line", "shop.reports.monthly", "newsletter.jobs.send_issue"),
)
CHUNK = 5_000
# Of a million jobs.
SHARES = {
    "pending": 0.6,
    "scheduled": 0.1,
    "succeeded": 0.2,
    "failed": 0.08,
    "cancelled": 0.01,
    "expired": 0.009,
    "running": 0.001,
}
WORKERS = 50


@dataclass
class Filler:
    """Writes jobs as scripts would leave them, many at once."""

    client: redis.Redis
    keys: Any
    now_ms: int
    made: int = 0

    def fill(self, status: str, count: int) -> None:
        for first in range(0, count, CHUNK):
            self._write(status, min(CHUNK, count - first), first / count)

    def _write(self, status: str, count: int, age: float) -> None:
        pipeline = self.client.pipeline(transaction=False)
        records: dict[str, str] = {}
        placed: dict[str, dict[str, int]] = {queue: {} for queue in QUEUES}
        for index in range(count):
            # What ends goes back over a week; the youngest is made first.
            moment = self.now_ms - int(age * 7 * 86_400_000) - index * 20
            job_id = f"{moment:012x}{self.made:016x}"
            queue = QUEUES[self.made % len(QUEUES)]
            records[self.keys.job(job_id)] = self._record(status, queue, moment)
            placed[queue][job_id] = moment
            self.made += 1
        pipeline.mset(records)
        for queue, moments in placed.items():
            ids = list(moments)
            if status == "pending":
                pipeline.lpush(self.keys.pending(queue), *ids)
            elif status == "scheduled":
                due = {job_id: 2 * self.now_ms - at for job_id, at in moments.items()}
                pipeline.zadd(self.keys.scheduled(queue), due)
            elif status == "running":
                self._claim(pipeline, ids)
            else:
                pipeline.zadd(self.keys.ended(status, queue), moments)
        pipeline.sadd(self.keys.queues, *QUEUES)
        pipeline.execute()

    def _record(self, status: str, queue: str, moment: int) -> str:
        number = self.made
        function = FUNCTIONS[number % len(FUNCTIONS)]
        call = [function, [number], {"address": f"user{number}@example.com"}]
        due = 2 * self.now_ms - moment if status == "scheduled" else 0
        record = f"1 {queue} 0 {moment - 2_000} {due} 0 0\n{json.dumps(call)}"
        if status in {"pending", "scheduled", "running"}:
            return record
        end: dict[str, Any] = {"result": number}
        if status != "succeeded":
            end = {"error": f"ValueError: order {number} has no address"}
        times = f"{moment - 1_000} {moment} {moment + 3_600_000}"
        return f"{record}\n{status} 1 1 0 web-1 {times}\n{json.dumps(end)}"

    def _claim(self, pipeline: Any, ids: list[str]) -> None:
        for index, job_id in enumerate(ids):
            worker = f"web-{index % WORKERS}"
            token = f"{worker}:1:{index}"
            state = {"status": "running", "token": token, "claimed_ms": self.now_ms}
            pipeline.hset(self.keys.state(job_id), mapping={**state, "run": 1})
            pipeline.rpush(self.keys.claimed(worker), f"{job_id} {token}")
            pipeline.zadd(self.keys.workers, {worker: self.now_ms + 10**9})
            info = {
                "host": "web.example.com",
                "pid": 4000 + index % WORKERS,
                "queues": ",".join(QUEUES),
                "started_ms": self.now_ms - 10**7,
            }
            pipeline.hset(self.keys.worker(worker), mapping=info)

    def statistics(self) -> None:
        """A week of counters."""
        pipeline = self.client.pipeline(transaction=False)
        counted: dict[str, int] = {}
        for kind, names in (("q", QUEUES), ("f", FUNCTIONS)):
            for name in names:
                counted[f"{kind}:{name}:succeeded"] = 900
                counted[f"{kind}:{name}:failed"] = 7
                counted[f"{kind}:{name}:run_ms"] = 90_000
                if kind == "q":
                    counted[f"{kind}:{name}:wait_ms"] = 5_000
        for bucket, length_ms, number in (
            ("minute", 60_000, 1440),
            ("hour", 3_600_000, 168),
        ):
            last = self.now_ms // length_ms
            for at in range(last - number, last + 1):
                pipeline.hset(self.keys.statistics(bucket, at), mapping=counted)
                for queue in QUEUES:
                    # Counters up to those of half a minute.
                    counters = b"".join(each.to_bytes(4) for each in range(62))
                    pipeline.set(self.keys.spread(bucket, at, queue), counters)
        pipeline.execute()


def set_up(url: str, folder: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["DATABASE_URL"] = f"sqlite:///{folder}/db.sqlite3"
    import django
    from django.conf import settings

    settings.REDISJOBS = {"URL": url, "QUEUES": list(QUEUES)}
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def pages(any_id: str, midnight: Any) -> Iterator[tuple[str, str]]:
    """(name, address) of each page."""
    jobs = "/admin/redisjobs/job/"
    yield "overview", "/admin/redisjobs/queue/"
    yield "overview, 7 days", "/admin/redisjobs/queue/?period=7d"
    yield "jobs", jobs
    yield "jobs, page 20", f"{jobs}?p=20"
    for status in SHARES:
        yield f"jobs: {status}", f"{jobs}?status__exact={status}"
    yield (
        "jobs: pending in a queue, page 2,000",
        (f"{jobs}?status__exact=pending&queue=low&p=2000"),
    )
    yield (
        "jobs: failed in a queue, last page",
        (f"{jobs}?status__exact=failed&queue=low&p=500"),
    )
    yield "jobs: of a function", f"{jobs}?function={FUNCTIONS[0]}"
    yield (
        "jobs: failed, of a function",
        (f"{jobs}?status__exact=failed&function={FUNCTIONS[0]}"),
    )
    yield "jobs: of the last hour", f"{jobs}?time=1h"
    yield "jobs: failed within a week", f"{jobs}?status__exact=failed&time=7d"
    yield (
        "jobs: failed on a day",
        (
            f"{jobs}?status__exact=failed&changed_at__year={midnight.year}"
            f"&changed_at__month={midnight.month}&changed_at__day={midnight.day}"
        ),
    )
    yield "jobs: searched by words", f"{jobs}?q=import_line"
    yield "jobs: searched by a value", f"{jobs}?q=user9"
    yield "jobs: searched by an id", f"{jobs}?q={any_id}"
    yield "jobs: sorted by function", f"{jobs}?o=2"
    yield "jobs: failed, sorted by function", f"{jobs}?status__exact=failed&o=2"
    yield "jobs, with counts at the filters", f"{jobs}?_facets=True"
    yield (
        "jobs: of a function, with counts",
        (f"{jobs}?function={FUNCTIONS[0]}&_facets=True"),
    )
    yield "one job", f"{jobs}{any_id}/change/"
    yield "workers", "/admin/redisjobs/worker/"


def measure(get: Callable[[], Any], rounds: int) -> tuple[float, float, float]:
    """The median, the longest and the median of CPU time, in milliseconds."""
    taken, used = [], []
    for _ in range(rounds):
        began, began_cpu = time.perf_counter(), time.process_time()
        answer = get()
        taken.append((time.perf_counter() - began) * 1000)
        used.append((time.process_time() - began_cpu) * 1000)
        if answer.status_code != 200:
            raise SystemExit(f"{answer.request['PATH_INFO']}: {answer.status_code}")
    return statistics.median(taken), max(taken), statistics.median(used)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=300, help="milliseconds")
    parser.add_argument("--url", help="a filled server, instead of a private one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if options.url:
            return run(options.url, folder, options)
        server = Server()
        try:
            return run(server.url, folder, options)
        finally:
            server.stop()


def run(url: str, folder: str, options: argparse.Namespace) -> int:
    set_up(url, folder)
    from django.contrib.auth.models import User
    from django.test import Client
    from django.utils import timezone

    from django_redisjobs import conf
    from django_redisjobs.core import scripts

    keys = conf.keys_for("default")
    client = redis.Redis.from_url(url, protocol=2)
    seconds, micros = client.time()
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    if not client.dbsize():
        filler = Filler(client, keys, now_ms)
        for status, share in SHARES.items():
            filler.fill(status, int(options.jobs * share))
        filler.statistics()
    any_id = client.lindex(keys.pending("low"), 1000).decode()
    browser = Client()
    browser.force_login(User.objects.create_superuser("ada", password="x"))

    trips: list[int] = []
    send = scripts.send

    def counted(client: Any, commands: Any) -> Any:
        trips.append(len(commands))
        return send(client, commands)

    scripts.send = counted
    print(
        f"{options.jobs:,} jobs, {client.dbsize():,} keys, "
        f"{client.info('memory')['used_memory_human']}, Redis "
        f"{client.info('server')['redis_version']}, Python {platform.python_version()}"
    )
    print("\n| page | median ms | longest ms | CPU ms of the site | round trips |")
    print("| --- | --: | --: | --: | --: |")
    slow = False
    for name, path in pages(any_id, timezone.localdate()):
        browser.get(path)
        trips.clear()
        browser.get(path)
        number = len(trips)
        median, longest, used = measure(
            lambda path=path: browser.get(path), options.rounds
        )
        slow |= median > options.limit
        figures = f"{median:.0f} | {longest:.0f} | {used:.0f} | {number}"
        print(f"| {name} | {figures} |", flush=True)
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
