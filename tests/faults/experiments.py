"""Faults that are done to a worker that is whole, and to one that is broken on purpose.

Each gives what is wrong afterwards: nothing, or what the broken variant is caught by.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import redis

from django_redisjobs.core import inspection, presence
from django_redisjobs.core.consumer import Claimed, Consumer, Settlement
from django_redisjobs.core.exceptions import LeaseLost
from django_redisjobs.core.records import DEFAULT_KEEP, JobStatus, new_id
from django_redisjobs.core.scripts import Conversation, perform
from tests.faults.harness import KEYS, LIMIT, ROOT, Site, Worker
from tests.faults.history import Fault

HOUR = 3_600
"""Seconds."""


def kill_a_child(site: Site, limit: float = LIMIT) -> list[str]:
    """It runs a job, and others wait."""
    site.start_worker("--processes", "1")
    first, *_ = site.add([3.0], [0.0], [0.0])
    pid = site.wait_started(first).pid
    site.kill([psutil.Process(pid)])
    return site.complaints(limit)


def freeze_beyond_lease(site: Site) -> list[str]:
    """A worker is stopped in the middle of a job, which runs elsewhere meanwhile. Then
    it thaws: first the process with the late result, then those that hear of the loss.
    """
    frozen = site.start_worker("--processes", "1")
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


def wrong_clock(site: Site, offset: int, limit: float = LIMIT) -> list[str]:
    """One of two workers has a clock that is off; some jobs are due now or soon, one
    in half an hour.
    """
    clocks = {
        "PYTHONPATH": f"{ROOT / 'tests/faults/clock'}:{ROOT}",
        "FAULTS_CLOCK": str(offset),
    }
    site.start_worker("--processes", "1", **clocks)
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


def race_of_rescuers(
    site: Site, rescue: Rescue = presence.rescue, *, rescuers: int = 10, jobs: int = 40
) -> list[str]:
    """Ten consumers bring back what a dead one held, at once, and run it.

    Threads stand for workers here: what they race for is decided in Redis.
    """
    history = site.history()
    numbers = site.add(*[[0.0]] * jobs)
    by_id = {site.ids[number]: number for number in numbers}
    dead = open_consumer(site.client, "dead")
    held = dead.exchange([], want=jobs).jobs
    for job in held:
        history.start(by_id[job.id], 0, 0.0, job.run)
    history.faults[0].append(Fault(0.0, 0.0))
    barrier = threading.Barrier(rescuers)
    lock = threading.Lock()

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
            run_all(consumer, lambda job: note(job, pid))

    def note(job: Claimed, pid: int) -> None:
        with lock:
            history.start(by_id[job.id], pid, time.monotonic(), job.run)
        threading.Event().wait(0.02)
        with lock:
            history.end(by_id[job.id], pid, time.monotonic(), job.run)

    with ThreadPoolExecutor(rescuers) as pool:
        list(pool.map(work, range(1, rescuers + 1)))
    return history.unexplained(numbers)


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


def run_all(consumer: Consumer, run: Callable[[Claimed], None]) -> None:
    """Claim, run and settle until nothing is left and nobody holds anything."""
    settled: list[Settlement] = []
    while True:
        try:
            jobs = consumer.exchange(settled, want=1).jobs
        except LeaseLost:
            return
        settled = []
        for job in jobs:
            run(job)
            settled.append(Settlement("succeeded", job, "work"))
        if not jobs and not perform(consumer._client, inspection.running(KEYS)):
            return
