"""Jobs that never reach Redis: those that EAGER runs, those that a test captured.

They live in this process alone, and their handles answer from here.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from copy import copy, deepcopy
from typing import Any, Final
from weakref import WeakValueDictionary

from django_redisjobs.core.payload import Callback, callback_body, parse_body
from django_redisjobs.core.records import (
    ENDED,
    ON_FAILURE,
    ON_SUCCESS,
    AttemptRecord,
    JobRecord,
    JobStatus,
    NewJob,
)
from django_redisjobs.core.settlements import STATUS_AFTER, Claimed, Settlement
from django_redisjobs.core.signatures import with_signature
from django_redisjobs.exceptions import ResultTimeout

REMEMBERED: Final = 1_000
"""So many of the latest are known by their ids, whoever else forgets them."""

_CALLBACKS: Final = {
    JobStatus.SUCCEEDED: (ON_SUCCESS, "on_success", "s"),
    JobStatus.FAILED: (ON_FAILURE, "on_failure", "f"),
}


class OfflineJob:
    """A job and what became of it, as Redis would have it.

    ``again`` is called when somebody wants it to run once more.
    """

    def __init__(self, new: NewJob, again: Callable[[OfflineJob], None]) -> None:
        self.new = new
        self.again = again
        self.enqueued_ms = now_ms()
        self.due_ms = _due_ms(new, self.enqueued_ms)
        self.expires_ms = 0
        if new.ttl_ms is not None:
            self.expires_ms = max(self.due_ms, self.enqueued_ms) + new.ttl_ms
        is_due = self.due_ms <= self.enqueued_ms
        self.status = JobStatus.PENDING if is_due else JobStatus.SCHEDULED
        self.run = 0
        self.attempts: list[AttemptRecord] = []
        self.attempts_made = 0
        self.started_ms = self.finished_ms = 0
        self.result: str | None = None
        self.meta: str | None = None
        self.progress: str | None = None
        self.error: str | None = None
        self.one_a_test = False
        self._cancel_asked = False
        _known[new.id] = self
        _latest.append(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> OfflineJob:
        """A job of the same id with a fate of its own, where tests may have such; as
        long as it lives, it is the one that the id stands for.
        """
        if not self.one_a_test:
            return self
        copied = copy(self)
        copied.attempts = list(self.attempts)
        _copies[self.id] = copied
        return copied

    @property
    def id(self) -> str:
        return self.new.id

    def expires(self) -> bool:
        """Whether it is too late to start it, so that it has ended as expired. What has
        started once is finished, however late.
        """
        if self.run or not self.expires_ms or self.expires_ms > now_ms():
            return False
        self.status = JobStatus.EXPIRED
        self.error = "expired before it could start"
        self.finished_ms = now_ms()
        return True

    def claim(self) -> Claimed:
        """It starts now: what a worker would be given."""
        self.run += 1
        self.status = JobStatus.RUNNING
        self.started_ms = now_ms()
        return Claimed(
            id=self.id,
            token=f"{os.getpid()}:1:{self.run}",
            queue=self.new.queue,
            priority=self.new.priority,
            body=self.new.body,
            enqueued_ms=self.enqueued_ms,
            due_ms=self.due_ms,
            run=self.run,
            attempts=self.attempts_made,
            crashes=0,
            alone=False,
            meta=self.meta,
            claimed_ms=self.started_ms,
        )

    def settle(self, ended: Settlement) -> None:
        """Take over what came of an attempt."""
        self.meta = ended.meta or self.meta
        self.progress = ended.progress or self.progress
        if ended.kind == "note":
            return
        self.status = STATUS_AFTER[ended.kind]
        self.error = ended.error
        if ended.kind in ("released", "parked"):
            return
        self.attempts_made += 1
        self.attempts.append(self._attempt(ended))
        if ended.kind == "retry":
            self.due_ms = now_ms() + ended.delay_ms
            if self._cancel_asked:
                self.cancel()
            return
        self.finished_ms = now_ms()
        self.result = ended.result if ended.result_ttl_ms else None

    def _attempt(self, ended: Settlement) -> AttemptRecord:
        if ended.attempt:
            return AttemptRecord.from_json(ended.attempt)
        return AttemptRecord(
            number=self.attempts_made,
            run=self.run,
            worker=ended.job.token.partition(":")[0],
            started_ms=ended.started_ms,
            finished_ms=ended.finished_ms,
            outcome=ended.kind,
        )

    def callback(self) -> NewJob | None:
        """The job that its end calls for; None when there is none."""
        bit, option, suffix = _CALLBACKS.get(self.status, (0, "", ""))
        if not self.new.callbacks & bit:
            return None
        callback = Callback(*parse_body(self.new.body).options[option])
        body = callback_body(callback.path, self.id)
        if callback.signature:
            body = with_signature(body, callback.signature)
        return NewJob(
            f"{self.id}-{suffix}{self.run}",
            callback.queue or self.new.queue,
            body,
            callback.priority,
            ttl_ms=callback.ttl_ms or None,
        )

    def record(self) -> JobRecord:
        return JobRecord(
            id=self.id,
            queue=self.new.queue,
            priority=self.new.priority,
            status=self.status,
            body=self.new.body,
            enqueued_ms=self.enqueued_ms,
            due_ms=self.due_ms if self.due_ms > self.enqueued_ms else 0,
            expires_ms=self.expires_ms,
            started_ms=self.started_ms,
            finished_ms=self.finished_ms,
            run=self.run,
            attempts=tuple(self.attempts),
            attempts_made=self.attempts_made,
            crashes=0,
            worker=str(os.getpid()),
            result=self.result,
            meta=self.meta,
            progress=self.progress,
            error=self.error,
        )

    # What handles ask, in the words of ``core.operations``

    def end(self) -> JobStatus:
        """The status with which it ended. It never waits: nobody else runs it."""
        if self.status not in ENDED:
            raise ResultTimeout(
                f"Job {self.id} is {self.status} in this process alone (it was "
                "captured by a test, or runs under EAGER), where no worker takes it."
            )
        return self.status

    def cancel(self) -> str:
        if self.status in ENDED:
            return "ended"
        if self.status is JobStatus.RUNNING:
            # Nobody can interrupt it; but it is not tried again.
            self._cancel_asked = True
            return "requested"
        self.status = JobStatus.CANCELLED
        self.error = "It was cancelled while it waited."
        self.finished_ms = now_ms()
        return "cancelled"

    def retry(self) -> str:
        if self.status not in ENDED and self.status is not JobStatus.PARKED:
            return "live"
        self.status = JobStatus.PENDING
        self.attempts_made = self.finished_ms = 0
        # One that has passed would end it again at once.
        self.expires_ms = 0
        self.result = self.error = None
        self._cancel_asked = False
        self.again(self)
        return "pending"

    def delete(self) -> str:
        if self.status is JobStatus.RUNNING:
            return "running"
        forget(self)
        return "deleted"


_known: WeakValueDictionary[str, OfflineJob] = WeakValueDictionary()
_copies: WeakValueDictionary[str, OfflineJob] = WeakValueDictionary()
_latest: deque[OfflineJob] = deque(maxlen=REMEMBERED)


def recall(job_id: str) -> OfflineJob | None:
    """The job of that id, if it is one of this process."""
    return _copies.get(job_id) or _known.get(job_id)


def copy_known(job_id: str, memo: dict[int, Any]) -> None:
    """Copy the job of that id, if it is one of this process, with what else has ``memo``."""
    original = _known.get(job_id)
    if original is not None:
        deepcopy(original, memo)


def forget(job: OfflineJob) -> None:
    _copies.pop(job.id, None)
    _known.pop(job.id, None)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _due_ms(new: NewJob, enqueued_ms: int) -> int:
    if new.due_ms is not None:
        return new.due_ms
    return enqueued_ms + (new.delay_ms or 0)
