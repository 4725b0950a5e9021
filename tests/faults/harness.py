"""Real servers, real workers, kills from outside at random moments, then a check."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis

from django_redisjobs.core import inspection, payload, producer
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import JobStatus, NewJob, new_id
from django_redisjobs.core.scripts import perform
from tests.faults.history import History, Kill
from tests.servers import Server

ROOT = Path(__file__).resolve().parent.parent.parent
QUEUES = ("high", "default", "low")
KEYS = GroupKeys()


Process = psutil.Process | subprocess.Popen[bytes]


def _runs(process: psutil.Process) -> bool:
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
    environment: dict[str, str] = field(default_factory=dict)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    kills: dict[int, Kill] = field(default_factory=dict)
    enqueued: int = 0

    def __post_init__(self) -> None:
        self.history_path = self.folder / "history"
        self.history_path.touch()
        self.client: redis.Redis = self.server.client()
        self._ticks = threading.Event()

    def wait(self, seconds: float) -> None:
        self._ticks.wait(seconds)

    def start_worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """``runworker`` as a user starts it, with its log in the folder."""
        environment = {
            **os.environ,
            **self.environment,
            "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
            "PYTHONPATH": str(ROOT),
            "FAULTS_URL": self.server.url,
            "FAULTS_HISTORY": str(self.history_path),
            "FAULTS_BROKEN": self.broken,
            "FAULTS_LEASE": str(self.lease),
        }
        command = [sys.executable, "-m", "django", "runworker", *QUEUES, *arguments]
        with (self.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        self.workers.append(worker)
        return worker

    def log(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")

    def enqueue(self, count: int, rng: random.Random) -> list[str]:
        """Jobs on three queues: some take nothing, most milliseconds, a few longer."""
        codec = payload.Codec()
        ids, jobs = [], []
        for number in range(count):
            seconds = rng.choice([0, 0, 0.005, 0.01, 0.03])
            if number % 97 == 0:
                seconds = 0.15
            body = payload.encode_body(
                "tests.faults.jobs.work", [number, seconds], {}, {}, codec
            )
            ids.append(new_id())
            jobs.append(NewJob(ids[-1], rng.choice(QUEUES), body))
        perform(self.client, producer.enqueue(KEYS, jobs))
        self.enqueued += count
        return ids

    def family(self, worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
        try:
            return psutil.Process(worker.pid).children(recursive=True)
        except psutil.Error:
            return []

    def kill(self, processes: Sequence[Process]) -> None:
        """SIGKILL each."""
        for process in processes:
            before = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            self.kills[process.pid] = Kill(before, time.monotonic())

    def kill_someone(self, rng: random.Random) -> str:
        """A child, a supervisor (whose children die with it), or everything."""
        kind = rng.choice(["child", "child", "supervisor", "all"])
        alive = [worker for worker in self.workers if worker.poll() is None]
        victims = alive if kind == "all" else alive and [rng.choice(alive)]
        if kind == "child":
            children = [child for worker in victims for child in self.family(worker)]
            if children:
                self.kill([rng.choice(children)])
            return kind
        for worker in victims:
            family = self.family(worker)
            if kind == "all":
                self.kill([worker, *family])
                continue
            # Its children die by the kernel's hand, within moments.
            self.kill([worker])
            before = self.kills[worker.pid].before
            self.wait_dead(family)
            for child in family:
                self.kills[child.pid] = Kill(before, time.monotonic())
        for worker in victims:
            worker.wait()
        return kind

    def wait_dead(self, processes: Sequence[psutil.Process], limit: float = 10) -> None:
        """Until none of them runs any more; who inherits them may reap them late."""
        end = time.monotonic() + limit
        while any(map(_runs, processes)) and time.monotonic() < end:
            self.wait(0.005)

    def wait_settled(self, workers: int, limit: float) -> None:
        """Until so many worker ids are registered: no dead one, no one still to come."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.client.zcard(KEYS.workers) == workers:
                return
            self.wait(0.05)

    def count(self, status: JobStatus) -> int:
        found = perform(self.client, inspection.counts(KEYS, QUEUES))
        return sum(getattr(counts, status.value) for counts in found)

    def wait_progress(self, jobs: int, limit: float) -> None:
        """Until so many more jobs have ended, or none is left to end."""
        so_far = self.count(JobStatus.SUCCEEDED)
        self.wait_ended(min(so_far + jobs, self.enqueued), limit, step=0.01)

    def wait_ended(self, count: int, limit: float, step: float = 0.05) -> bool:
        """Whether so many jobs succeeded within the limit."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.count(JobStatus.SUCCEEDED) >= count:
                return True
            self.wait(step)
        return False

    def stop(self) -> list[int]:
        """Ask all workers to end; gives their exit codes."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        codes = []
        for worker in self.workers:
            if worker.pid in self.kills:
                worker.wait()
                continue
            try:
                codes.append(worker.wait(timeout=40))
            except subprocess.TimeoutExpired:
                worker.kill()
                codes.append(-9)
        return codes

    def leftovers(self) -> list[str]:
        """Keys that no ended job, counter or queue name owns."""
        base = KEYS.base
        owned = ("job:", "succeeded:", "stats:", "wake:")
        single = {"schema", "queues", "maintained", "sequence"}
        base = KEYS.base
        names = {key.decode().removeprefix(base) for key in self.client.scan_iter()}
        return sorted(
            name
            for name in names - single
            if not name.startswith(owned)
            # A crash that a job went through is told as long as the job is kept.
            and f"job:{name.removeprefix('attempts:')}" not in names
        )

    def history(self) -> History:
        return History.read(self.history_path, self.kills)


@dataclass(frozen=True)
class Report:
    """What an experiment gave: no complaints means that nothing was lost."""

    seed: int
    kills: dict[str, int]
    reruns: int
    complaints: list[str]

    def __str__(self) -> str:
        kills = ", ".join(f"{count} {kind}" for kind, count in self.kills.items())
        verdict = (
            "; ".join(self.complaints[:5]) or "nothing lost, every rerun explained"
        )
        return f"seed {self.seed}: kills {kills}; reruns {self.reruns}; {verdict}"


def run_kills(
    folder: Path,
    server: Server,
    *,
    seed: int,
    jobs: int = 2_000,
    kills: int = 20,
    broken: str = "",
    limit: float = 60.0,
) -> Report:
    """Kill children, supervisors and everything while jobs run; then check all."""
    rng = random.Random(seed)
    site = Site(folder, server, broken=broken)
    site.enqueue(jobs, rng)
    done: dict[str, int] = {}
    complaints: list[str] = []
    try:
        for _ in range(2):
            site.start_worker("--processes", "2")
        for _ in range(kills):
            # Only a kill in the midst of work proves anything.
            site.wait_progress(20, limit=15.0)
            site.wait(rng.uniform(0.0, 0.3))
            kind = site.kill_someone(rng)
            done[kind] = done.get(kind, 0) + 1
            while sum(worker.poll() is None for worker in site.workers) < 2:
                site.start_worker("--processes", "2")
        if not site.wait_ended(jobs, limit):
            complaints.append(f"only {site.count(JobStatus.SUCCEEDED)} of {jobs} ended")
        else:
            site.wait_settled(4, limit=2 * site.lease + 5)
    finally:
        codes = site.stop()
    history = site.history()
    complaints += history.unexplained(range(jobs))
    complaints += [f"left behind: {name}" for name in site.leftovers()]
    complaints += [f"a worker ended with {code}" for code in codes if code != 0]
    return Report(seed, done, history.reruns, complaints)
