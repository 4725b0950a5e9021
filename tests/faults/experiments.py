"""Faults that are done to a worker that is whole, and to one that is broken on purpose.

Each gives what is wrong afterwards: nothing, or what the broken variant is caught by.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import redis

from django_redisjobs.core import presence, staff
from django_redisjobs.core.consumer import Consumer
from django_redisjobs.core.exceptions import LeaseLost
from django_redisjobs.core.records import DEFAULT_KEEP, JobStatus, new_id
from django_redisjobs.core.scripts import Conversation, perform
from django_redisjobs.core.settlements import Claimed, Settlement
from tests.faults.harness import KEYS, LIMIT, ROOT, Site, Worker
from tests.faults.history import Fault
from tests.faults.proxy import Proxy

HOUR = 3_600
"""Seconds."""


def kill_someone(site: Site, rng: random.Random) -> None:
    """A child, a liaison, a supervisor (whose children die with it), or everything."""
    kind = rng.choice(["child", "child", "liaison", "both", "supervisor", "all"])
    worker = rng.choice(site.running)
    if kind == "all":
        site.kill_everything()
    elif kind == "supervisor":
        site.kill_worker(worker)
    elif family := site.family(worker):
        liaison = site.liaison(worker)
        children = [one for one in family if one.pid != liaison.pid]
        victims = [rng.choice(children)] if children and kind != "liaison" else []
        site.kill(victims + ([liaison] if kind != "child" else []))


def kill_a_child(site: Site, limit: float = LIMIT) -> list[str]:
    """It runs a job, and others wait."""
    site.start_worker("--processes", "1")
    first, *_ = site.add([3.0], [0.0], [0.0])
    pid = site.wait_started(first).pid
    site.kill([psutil.Process(pid)])
    return site.complaints(limit)


def lose_answers(site: Site, proxy: Proxy, limit: float = LIMIT) -> list[str]:
    """Each fifteenth answer is lost, with its connection, until most jobs have ended."""
    places = itertools.count(1)
    site.add(*[[0.02]] * 150)
    site.start_worker("--processes", "2", url=proxy.url)
    site.wait_progress(20)
    proxy.after = lambda _: next(places) % 15 != 0
    site.wait_progress(80)
    proxy.calm()
    return site.complaints(limit)


# A process that never doubts its lease: then nothing but the fence is left.
TRUSTING = "django_redisjobs.worker.holdings.LEASE_MARGIN_SECONDS=-3600"


def freeze_beyond_lease(site: Site, patches: str = "") -> list[str]:
    """A worker is stopped in the middle of a job, which runs elsewhere meanwhile. Then
    it thaws: first the process with the late result, then those that hear of the loss.
    """
    frozen = site.start_worker("--processes", "1", FAULTS_PATCHES=patches)
    (number,) = site.add([4.0])
    child = psutil.Process(site.wait_started(number).pid)
    with site.cut_off(frozen):
        processes = [psutil.Process(frozen.pid), *site.family(frozen)]
        for process in processes:
            process.suspend()
        site.start_worker("--processes", "1")
        site.wait_started(number, run=2)
        site.wait_ended()
        child.resume()
        site.until(
            lambda: all(run.ended for run in site.history().runs_of(number)),
            "the late run has ended",
        )
        # What it has to say it says at once; those that follow only thaw.
        site.pause(1.0)
        for process in processes:
            process.resume()
    return site.complaints()


def clock_of(offset: int) -> dict[str, str]:
    """The environment of a process whose clock is off by so many seconds."""
    return {
        "PYTHONPATH": f"{ROOT / 'tests/faults/clock'}:{ROOT}",
        "FAULTS_CLOCK": str(offset),
    }


def wrong_clock(site: Site, offset: int, limit: float = LIMIT) -> list[str]:
    """One of two workers has a clock that is off; some jobs are due now or soon, one
    in half an hour.
    """
    site.start_worker("--processes", "1", **clock_of(offset))
    site.start_worker("--processes", "1")
    site.wait_registered(2)
    site.add(*[[0.3]] * 20)
    site.add(*[[0.01]] * 10, delay_ms=2_000)
    with contextlib.suppress(AssertionError):
        site.wait_ended(limit)
    (early,) = site.add([0.0], delay_ms=HOUR // 2 * 1_000)
    # Workers look at what is scheduled in each of their steps.
    for _ in range(20):
        site.add([0.01])
        site.pause(0.05)
    complaints = []
    if site.history().runs_of(early):
        complaints.append(f"job {early} ran half an hour before its time")
    elif site.record(early).status is not JobStatus.SCHEDULED:
        complaints.append(f"job {early} was made ready half an hour too early")
    else:
        perform(site.client, _forget(site.ids.pop(early)))
    return complaints + site.complaints(limit)


def _forget(job_id: str) -> Conversation[None]:
    yield [("DEL", KEYS.job(job_id)), ("ZREM", KEYS.scheduled("default"), job_id)]


SLEEPERS = " ".join(
    f"django_redisjobs.worker.{module}.LONGEST_SECONDS=3600"
    for module in ("waiting", "child", "liaison")
)


def start_sleepers(site: Site) -> Worker:
    """A worker of two processes that sleep for an hour unless somebody wakes them."""
    site.lease = 36_000.0
    worker = site.start_worker("--processes", "2", FAULTS_PATCHES=SLEEPERS)
    wait_asleep(site, 2)
    return worker


def wait_asleep(site: Site, workers: int) -> None:
    """Until so many block, beside the liaison."""

    site.until(lambda: blocked(site) == workers + 1, f"{workers} processes are asleep")


def blocked(site: Site) -> int:
    """How many connections wait for something to be pushed."""
    clients: Any = site.client.client_list()
    return sum("b" in each["flags"] for each in clients)


def wake_by_a_job(site: Site, patience: float = 30.0) -> list[str]:
    """A job enqueues another one, and waits for it: the other process has to wake."""
    start_sleepers(site)
    number = len(site.ids)
    other_id = new_id()
    site.add([number + 1, other_id, patience], function="call")
    site.ids[number + 1] = other_id
    complaints = site.complaints()
    (caller,) = site.history().runs_of(number)
    (called,) = site.history().runs_of(number + 1) or [caller]
    if called.ended is None or caller.ended is None or called.ended > caller.ended:
        complaints.append(f"job {number + 1} waited though a process was idle")
    return complaints


Rescue = Callable[..., Conversation[presence.Rescued]]


class Notebook:
    """Writes down what consumers in threads of the test do.

    Threads stand for workers here: what they race for is decided in Redis.
    """

    def __init__(self, site: Site) -> None:
        self.history = site.history()
        self._numbers = {job_id: number for number, job_id in site.ids.items()}
        self._lock = threading.Lock()

    def start(self, job: Claimed, pid: int, when: float) -> None:
        with self._lock:
            self.history.start(self._numbers[job.id], pid, when, job.run)

    def run(self, job: Claimed, pid: int, seconds: float = 0.0) -> None:
        self.start(job, pid, time.monotonic())
        threading.Event().wait(seconds)
        with self._lock:
            number = self._numbers[job.id]
            self.history.end(number, pid, time.monotonic(), job.run)


def race_of_workers(site: Site, *, workers: int = 50, jobs: int = 5_000) -> list[str]:
    """All claim from the same queues at the same time, some of them several at once."""
    numbers = site.add(*[[0.0]] * jobs)
    notebook = Notebook(site)
    barrier = threading.Barrier(workers)

    def work(pid: int) -> None:
        with site.server.client() as client:
            consumer = open_consumer(client, f"w{pid}")
            barrier.wait()
            run_all(consumer, lambda job: notebook.run(job, pid), want=pid % 5 + 1)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(1, workers + 1)))
    return notebook.history.unexplained(numbers) + site.doctor()


def race_of_rescuers(
    site: Site, rescue: Rescue = presence.rescue, *, rescuers: int = 10, jobs: int = 40
) -> list[str]:
    """Ten consumers bring back what a dead one held, at once, and run it."""
    numbers = site.add(*[[0.0]] * jobs)
    notebook = Notebook(site)
    dead = open_consumer(site.client, "dead")
    for job in dead.exchange([], want=jobs).jobs:
        notebook.start(job, 0, 0.0)
    notebook.history.faults[0].append(Fault(0.0, 0.0))
    barrier = threading.Barrier(rescuers)

    def work(pid: int) -> None:
        with site.server.client() as client:
            consumer = open_consumer(client, f"w{pid}")
            barrier.wait()
            perform(
                client,
                rescue(
                    KEYS,
                    "dead",
                    running=None,
                    reason="it died",
                    max_crashes=100,
                    keep=DEFAULT_KEEP,
                ),
            )
            run_all(consumer, lambda job: notebook.run(job, pid, 0.02))

    with ThreadPoolExecutor(rescuers) as pool:
        list(pool.map(work, range(1, rescuers + 1)))
    return notebook.history.unexplained(numbers)


def open_consumer(
    client: redis.Redis, name: str, *, lease_ms: int = 600_000
) -> Consumer:
    """A registered worker id, with nothing around it."""
    consumer = Consumer(
        client,
        KEYS,
        name,
        ("high", "default", "low"),
        lease_ms=lease_ms,
        keep=DEFAULT_KEEP,
        max_crashes=100,
    )
    consumer.register({})
    return consumer


def run_all(
    consumer: Consumer, run: Callable[[Claimed], None], *, want: int = 1
) -> None:
    """Claim, run and settle until nothing is left and nobody holds anything."""
    settled: list[Settlement] = []
    while True:
        try:
            jobs = consumer.exchange(settled, want=want).jobs
        except LeaseLost:
            return
        settled = []
        for job in jobs:
            run(job)
            settled.append(Settlement("succeeded", job, "work"))
        if not jobs and not perform(consumer._client, staff.running(KEYS)):
            return
