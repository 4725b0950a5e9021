"""One named job, run in the calling thread: for people who want to watch it.

A worker id of its own claims it, so that nobody else runs it meanwhile; its lease is
renewed from a thread, however long a debugger holds the job. Should this process die,
other workers bring the job back.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Self

from django_redisjobs import conf, connections
from django_redisjobs.core.consumer import take
from django_redisjobs.core.exceptions import LeaseLost
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.presence import beat, rescue
from django_redisjobs.core.records import JobStatus
from django_redisjobs.core.scripts import perform
from django_redisjobs.core.settlements import Claimed, Settlement
from django_redisjobs.versions import installed_version

from .attempts import settlement
from .direct import DirectExecution, SilentLog
from .machine import identity
from .memory import new_base, worker_id
from .outcome import CANCELLED, describe
from .stations import Post, Station
from .trouble import TROUBLE, Trouble

logger = logging.getLogger("redisjobs.worker")

_BEAT_SECONDS: Final = 1.0
_SETTLE_TRIES: Final = 30


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a job was not taken: ``running`` and by whom, ``ended`` and as what, or
    ``missing``.
    """

    word: str
    detail: str


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of it. ``late``: the lease was lost meanwhile, so that the outcome
    counted for nothing and others run it.
    """

    job: Claimed
    outcome: Settlement
    error: BaseException | None
    seconds: float
    late: bool


def run_here(
    keys: GroupKeys,
    job_id: str,
    *,
    again: JobStatus | None = None,
    examine: Callable[[BaseException], None] | None = None,
) -> Ran | Refusal:
    """Claim a job that waits and run it, as a worker would; paused queues too. One that
    has ended as ``again`` begins anew, with a fresh budget of retries.

    Its outcome is stored as that of any attempt, and it is retried like one. No
    timeout applies. Ctrl-C puts it back uncounted. ``examine`` is called with what it
    raised before that is stored.

    Raises redis-py's errors; the job then is where it was, or is brought back.
    """
    runner = _Runner(keys)
    try:
        return runner.run(job_id, again, examine)
    finally:
        runner.leave()


class _Runner:
    def __init__(self, keys: GroupKeys) -> None:
        self._keys = keys
        self._client = connections.worker_client()
        self._worker = worker_id(new_base(), 1)
        self._station = Station(Post(0, keys, ()), self._client, self._worker, 1)
        name = f"{platform.node()}:{os.getpid()}"
        self._station.register(
            {
                **identity(),
                "name": f"{name} (by hand)",
                "queues": "",
                "started_ms": str(time.time_ns() // 1_000_000),
                "version": installed_version(),
            }
        )

    def run(
        self,
        job_id: str,
        again: JobStatus | None,
        examine: Callable[[BaseException], None] | None,
    ) -> Ran | Refusal:
        token = f"{self._worker}:0:0"
        word, detail = perform(
            self._client,
            take(self._keys, self._worker, job_id, token, again=again or ""),
        )
        if word != "taken":
            return Refusal(word, detail)
        (job,) = self._station.exchange(want=0, fresh=False).jobs
        with _Pulse(self._keys, self._worker) as pulse:
            began = monotonic()
            error = self._attempt(job, pulse)
            seconds = monotonic() - began
            if error is not None and examine is not None:
                examine(error)
            outcome = self._station.outcomes[-1]
            late = self._settle()
        return Ran(job, outcome, error, seconds, late)

    def _attempt(self, job: Claimed, pulse: _Pulse) -> BaseException | None:
        began_ms = self._station.milliseconds(monotonic())
        try:
            return DirectExecution(SilentLog(), retries=True).attempt(
                job, self._station
            )
        except KeyboardInterrupt as interrupt:
            self._station.outcomes.clear()
            self._station.outcomes.append(
                self._interrupted(job, interrupt, pulse, began_ms)
            )
            return None

    def _interrupted(
        self, job: Claimed, interrupt: BaseException, pulse: _Pulse, began_ms: int
    ) -> Settlement:
        if not pulse.cancelled:
            return Settlement("released", job, started_ms=began_ms)
        return settlement(
            CANCELLED,
            job,
            "",
            describe(interrupt, "somebody cancelled it"),
            started_ms=began_ms,
            finished_ms=self._station.milliseconds(monotonic()),
        )

    def _settle(self) -> bool:
        """Store the outcome; True when it came too late."""
        trouble = Trouble("This process", connections.describe())
        for _ in range(_SETTLE_TRIES):
            try:
                return bool(self._station.exchange(want=0, fresh=False).refused)
            except LeaseLost:
                return True
            except TROUBLE as error:
                threading.Event().wait(trouble.met(error))
        return True

    def leave(self) -> None:
        """Forget the worker id; what it may still hold goes back."""
        settings = conf.get_settings()
        try:
            perform(
                self._client,
                rescue(
                    self._keys,
                    self._worker,
                    running={},
                    charged=False,
                    reason="it ended in good order",
                    max_crashes=settings.max_crashes,
                    keep=settings.keep,
                ),
            )
        except TROUBLE as error:
            logger.warning("Redis does not answer; the lease will end: %s", error)


class _Pulse:
    """Renews the lease, and hears of a cancellation, while the job runs."""

    def __init__(self, keys: GroupKeys, worker: str) -> None:
        self._keys = keys
        self._worker = worker
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="redisjobs-pulse", daemon=True
        )
        self.cancelled = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        settings = conf.get_settings()
        seconds = min(_BEAT_SECONDS, settings.lease_ms / 4000)
        while not self._over.wait(seconds):
            try:
                result = perform(
                    connections.worker_client(),
                    beat(
                        self._keys,
                        [self._worker],
                        queues=(),
                        lease_ms=settings.lease_ms,
                        max_crashes=settings.max_crashes,
                        keep=settings.keep,
                    ),
                )
            except TROUBLE:
                continue
            for message in result.messages.get(self._worker, []):
                self._obey(message)

    def _obey(self, message: str) -> None:
        word = message.partition(" ")[0]
        if word == "dump":
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
        elif word in ("cancel", "stop") and not self.cancelled:
            self.cancelled = word == "cancel"
            _interrupt_main()


def _interrupt_main() -> None:
    """What Ctrl-C does: the job is interrupted also where it waits."""
    thread = threading.main_thread().ident
    if thread is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, signal.SIGINT)
