"""Real servers, real workers, faults from outside, then a check of every job."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis

from django_redisjobs.core import inspection, lookup, payload, producer, staff
from django_redisjobs.core.audit import audit
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import JobRecord, JobStatus, Keep, NewJob, new_id
from django_redisjobs.core.scripts import perform
from tests import forkserver
from tests.faults.history import Fault, History, Run
from tests.forkserver import ROOT
from tests.forkserver import Started as Worker
from tests.servers import Server

QUEUES = ("high", "default", "low")
KEYS = GroupKeys()
KEEP = {
    JobStatus.SUCCEEDED: Keep(3_600_000, 200_000),
    JobStatus.FAILED: Keep(3_600_000, 10_000),
}
LIMIT = 60.0
"""Seconds after which a test gives up: how long a busy machine may take for anything."""

Process = psutil.Process | Worker


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@dataclass
class Site:
    """A server, a history file, and the workers of one experiment."""

    folder: Path
    server: Server
    broken: str = ""
    lease: float = 3.0
    url: str = ""
    groups: dict[GroupKeys, Sequence[str]] = field(
        default_factory=lambda: {KEYS: QUEUES}
    )
    environment: dict[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    faults: dict[int, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[int, str] = field(default_factory=dict)
    earliest: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.history_path = self.folder / "history"
        self.history_path.touch()
        self.client: redis.Redis = self.server.client(socket_timeout=30)
        self._ticks = threading.Event()

    # Waiting

    def pause(self, seconds: float) -> None:
        """Let time pass: for a random moment, never for something to have happened."""
        self._ticks.wait(seconds)

    def until(
        self, condition: Callable[[], Any], what: str, limit: float = LIMIT
    ) -> Any:
        """Look again and again; gives what came true."""
        end = time.monotonic() + limit
        while not (found := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"never came true: {what}\n{self.log()[-4000:]}")
            self.pause(0.02)
        return found

    # Workers

    def start_worker(
        self,
        *arguments: str,
        queues: Sequence[str] = QUEUES,
        url: str = "",
        **environment: str,
    ) -> Worker:
        """``runworker`` with its log in the folder."""
        command = ["django", "runworker", *queues, *arguments]
        with (self.folder / "worker.log").open("ab") as log:
            worker = forkserver.start(
                *command,
                environment=self.surroundings(url, **environment),
                log=log,
                # What a job does to its process group must not strike the tests.
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker

    def surroundings(self, url: str = "", **more: str) -> dict[str, str]:
        """The environment of a command."""
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
            "PYTHONPATH": str(ROOT),
            "FAULTS_URL": url or self.url or self.server.url,
            "FAULTS_HISTORY": str(self.history_path),
            "FAULTS_BROKEN": self.broken,
            "FAULTS_LEASE": str(self.lease),
            **self.environment,
            **more,
        }

    def log(self) -> str:
        path = self.folder / "worker.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def running(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.poll() is None]

    def family(self, worker: Worker) -> list[psutil.Process]:
        """All processes under the supervisor."""
        try:
            return psutil.Process(worker.pid).children(recursive=True)
        except psutil.Error:
            return []

    def liaison(self, worker: Worker) -> psutil.Process:
        """The process of a worker that talks to Redis: the first that it starts."""
        return min(self.family(worker), key=lambda one: (one.create_time(), one.pid))

    def wait_registered(self, workers: int, limit: float = LIMIT) -> None:
        """Until so many worker ids are registered: no dead one, no one still to come."""
        self.until(
            lambda: all(
                self.client.zcard(keys.workers) == workers for keys in self.groups
            ),
            f"{workers} worker processes are registered",
            limit,
        )

    def wait_ready(self, limit: float = LIMIT) -> None:
        """Until each worker that runs has a registered process: who is still starting
        would be killed by being asked to stop.
        """

        def is_registered(worker: Worker, keys: GroupKeys) -> bool:
            records = perform(self.client, staff.workers(keys))
            family = {str(process.pid) for process in self.family(worker)}
            return not family.isdisjoint(record.info.get("pid") for record in records)

        self.until(
            lambda: all(
                is_registered(worker, keys)
                for worker in self.running
                for keys in self.groups
            ),
            "all workers are ready",
            limit,
        )

    def stop(self) -> list[int]:
        """Ask all workers to end; gives the exit codes of those that nobody killed."""
        asked = self.running
        for worker in asked:
            worker.terminate()
        codes = [self.wait_exit(worker) for worker in asked]
        return [
            code
            for worker, code in zip(asked, codes, strict=True)
            if worker.pid not in self.faults
        ]

    def wait_exit(self, worker: Worker, limit: float = LIMIT) -> int:
        try:
            return worker.wait(limit)
        except subprocess.TimeoutExpired:
            return -999

    def end(self) -> None:
        """Leave no process behind, whatever happened."""
        for worker in self.running:
            for process in [*self.family(worker), worker]:
                with contextlib.suppress(psutil.Error, ProcessLookupError):
                    process.resume() if isinstance(process, psutil.Process) else None
                    process.kill()
            worker.wait()

    # Faults

    def kill(self, processes: Sequence[Process]) -> None:
        """SIGKILL each."""
        for process in processes:
            before = time.monotonic()
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                # Of neither kind where it has ended: its pid may be another's by now.
                process.kill()
            self.faults[process.pid].append(Fault(before, time.monotonic()))

    def kill_worker(self, worker: Worker) -> None:
        """SIGKILL to a supervisor: the kernel kills its children, within moments."""
        family = self.family(worker)
        before = time.monotonic()
        self.kill([worker])
        self.until(
            lambda: not any(map(is_alive, family)), "the children die with it", 30
        )
        for child in family:
            self.faults[child.pid].append(Fault(before, time.monotonic()))
        worker.wait()

    def will_interrupt(self, run: Run) -> None:
        """From now on the worker may give up that run, in good order."""
        self.faults[run.pid].append(Fault(time.monotonic(), time.monotonic() + LIMIT))

    def kill_everything(self) -> None:
        """As when a host dies: all processes of all workers."""
        workers = self.running
        families = [process for worker in workers for process in self.family(worker)]
        self.kill([*workers, *families])
        self.until(lambda: not any(map(is_alive, families)), "all are dead", 30)
        for worker in workers:
            worker.wait()

    @contextlib.contextmanager
    def cut_off(self, *workers: Worker, forgets: bool = False) -> Iterator[None]:
        """While this lasts Redis does not hear of these workers: they are stopped, or
        the way between them is. ``forgets``: nor does it know all that they had said.
        """
        pids = [
            process.pid
            for worker in workers
            for process in [*self.family(worker), worker]
        ]
        before = time.monotonic()
        try:
            yield
        finally:
            for pid in pids:
                self.faults[pid].append(Fault(before, time.monotonic(), True, forgets))

    # Jobs

    def add(
        self,
        *arguments: Sequence[Any],
        function: str = "work",
        queue: str = "default",
        **fields: Any,
    ) -> list[int]:
        """Enqueue a job for each list of arguments, beside its number; the numbers."""
        numbers, jobs = [], []
        for each in arguments:
            number = len(self.ids)
            self.ids[number] = new_id()
            numbers.append(number)
            # By this process's clock, read before Redis reads its own.
            self.earliest[number] = time.monotonic() + fields.get("delay_ms", 0) / 1000
            body = payload.encode_body(
                f"tests.faults.jobs.{function}", [number, *each], {}, {}, _CODEC
            )
            jobs.append(NewJob(self.ids[number], queue, body, **fields))
        perform(self.client, producer.enqueue(self.keys_of(queue), jobs))
        return numbers

    def keys_of(self, queue: str) -> GroupKeys:
        return next(keys for keys, queues in self.groups.items() if queue in queues)

    def produce(
        self, processes: int, delay: float = 0.0, **environment: str
    ) -> set[int]:
        """Five jobs by each of so many other processes; gives the numbers of those of
        which they were told that they are enqueued.
        """
        producer = subprocess.run(
            [sys.executable, "-m", "tests.faults.produce", str(processes), str(delay)],
            cwd=ROOT,
            env=self.surroundings(**environment),
            stdout=subprocess.PIPE,
            check=True,
        )
        return {int(number) for number in producer.stdout.split()}

    def adopt(self) -> list[int]:
        """Expect the jobs that are in Redis, as if added here; gives their numbers."""
        ids = self.stored_ids()
        records = [
            record
            for keys in self.groups
            for record in perform(self.client, lookup.jobs(keys, ids))
        ]
        found = {
            payload.parse_body(record.body).args[0]: record.id for record in records
        }
        self.ids |= found
        return sorted(found)

    def add_mixed(self, count: int, rng: random.Random) -> list[int]:
        """Jobs on three queues: some take nothing, most milliseconds, a few longer."""
        numbers = []
        for place in range(count):
            seconds = rng.choice([0, 0, 0.005, 0.01, 0.03])
            if place % 97 == 0:
                seconds = 0.15
            numbers += self.add([seconds], queue=rng.choice(QUEUES))
        return numbers

    def records(self) -> dict[int, JobRecord]:
        numbers = list(self.ids)
        found: dict[int, JobRecord] = {}
        for first in range(0, len(numbers), 1000):
            some = numbers[first : first + 1000]
            ids = [self.ids[number] for number in some]
            by_id = {
                record.id: record
                for keys in self.groups
                for record in perform(self.client, lookup.jobs(keys, ids))
            }
            found |= {
                number: by_id[self.ids[number]]
                for number in some
                if self.ids[number] in by_id
            }
        return found

    def stored_ids(self) -> list[str]:
        """Of all jobs that Redis has a record of."""
        prefixes = [keys.job("") for keys in self.groups]
        return [
            key.decode().removeprefix(prefix)
            for prefix in prefixes
            for key in self.client.scan_iter(f"{prefix}*")
        ]

    def record(self, number: int) -> JobRecord:
        found = perform(self.client, lookup.job(KEYS, self.ids[number]))
        assert found is not None
        return found

    def count(self, status: JobStatus = JobStatus.SUCCEEDED) -> int:
        return sum(
            getattr(counts, status.value)
            for keys, queues in self.groups.items()
            for counts in perform(self.client, inspection.counts(keys, queues))
        )

    def wait_progress(self, jobs: int, limit: float = LIMIT) -> None:
        """Until so many more jobs have ended, or none is left to end."""
        target = min(self.count() + jobs, len(self.ids))
        self.until(lambda: self.count() >= target, f"{target} jobs have ended", limit)

    def wait_ended(self, limit: float = LIMIT) -> None:
        """Until all jobs have succeeded."""
        self.until(
            lambda: self.count() >= len(self.ids),
            f"all {len(self.ids)} jobs have succeeded",
            limit,
        )

    def wait_started(self, number: int, run: int = 1, limit: float = LIMIT) -> Run:
        """Until that run of a job has begun."""

        def look() -> Run | None:
            runs = self.history().runs_of(number)
            return next((one for one in runs if one.number >= run), None)

        found: Run = self.until(look, f"job {number} has run {run}", limit)
        return found

    # The verdict

    def history(self) -> History:
        return History.read(self.history_path, self.faults)

    def complaints(self, limit: float = LIMIT) -> list[str]:
        """Wait for the end of all jobs and stop the workers; what is wrong then.

        Every job ended once, by the last run that began, and each earlier run is
        explained by a fault; nothing is left in Redis but ended jobs; the workers
        ended in good order.
        """
        found = []
        try:
            self.wait_ended(limit)
        except AssertionError:
            found.append(f"only {self.count()} of {len(self.ids)} jobs have ended")
        self.wait_ready()
        codes = self.stop()
        found += [f"a worker ended with {code}" for code in codes if code != 0]
        return found + self.flaws()

    def flaws(self) -> list[str]:
        """``complaints`` about what there is now."""
        history = self.history()
        found = history.unexplained(self.ids)
        found += self._too_early(history)
        found += self._wrong_ends(history)
        found += self.doctor()
        found += [f"left behind: {name}" for name in self._leftovers()]
        return found

    def _too_early(self, history: History) -> Iterator[str]:
        for number, earliest in self.earliest.items():
            for run in history.runs_of(number)[:1]:
                # Redis reckons in whole milliseconds.
                if run.started < earliest - 0.002:
                    yield f"job {number} ran {earliest - run.started:.3f} s too early"

    def _wrong_ends(self, history: History) -> Iterator[str]:
        records = self.records()
        for number in self.ids:
            record, runs = records.get(number), history.runs_of(number)
            if record is None or not runs:
                what = "has no record" if record is None else "never ran"
                yield f"job {number} {what}: lost"
                continue
            last = runs[-1].number
            if record.status is not JobStatus.SUCCEEDED:
                yield f"job {number} is {record.status}: {record.error}"
            elif record.run != last or json.loads(record.result or "0") != [
                number,
                last,
            ]:
                yield (
                    f"job {number} ended by run {record.run} with {record.result}, but "
                    f"run {last} was the last: a late worker was believed"
                )

    def doctor(self) -> list[str]:
        """What is broken of what Redis has."""
        lease_ms = round(self.lease * 1000)
        reports = [
            perform(
                self.client, audit(keys, lease_ms=lease_ms, keep=KEEP, queues=queues)
            )
            for keys, queues in self.groups.items()
        ]
        return [
            f"doctor: {one.code} {one.where}: {one.message}"
            for report in reports
            for one in report.broken
        ]

    def _leftovers(self) -> list[str]:
        """Keys that no ended job, counter or queue name owns."""
        return [name for keys in self.groups for name in self._leftovers_of(keys)]

    def _leftovers_of(self, keys: GroupKeys) -> list[str]:
        owned = ("job:", "succeeded:", "stats:", "spread:", "wake:")
        single = {"schema", "queues", "beside", "maintained", "sequence", "synced"}
        names = {
            key.decode().removeprefix(keys.base)
            for key in self.client.scan_iter(f"{keys.base}*")
        }
        # Who is listed as having attempts has to be there like these.
        listed = self.client.smembers(keys.beside)
        names |= {f"attempts:{job_id.decode()}" for job_id in listed}
        # A worker that could not say farewell is dead or thawing; its lease tells.
        gone = (
            ("claimed:", "worker:", "workers", "control:", "lost")
            if self.faults
            else ()
        )
        return sorted(
            name
            for name in names - single
            if not name.startswith((*owned, *gone))
            # A crash that a job went through is told as long as the job is kept.
            and f"job:{name.removeprefix('attempts:')}" not in names
        )

    def figures(self) -> str:
        history = self.history()
        faults = sum(map(len, self.faults.values()))
        return (
            f"{len(self.ids)} jobs, {faults} processes struck, lost 0, "
            f"reruns {history.reruns}, back after {history.recovery():.2f} s, "
            f"longest silence {history.silence():.2f} s"
        )


_CODEC = payload.Codec()
