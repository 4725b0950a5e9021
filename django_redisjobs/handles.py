"""The handle of a job: its id, and what can be asked of Redis about it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from asgiref.sync import sync_to_async

from django_redisjobs import conf, offline
from django_redisjobs.calls import aask, aask_blocking, ask, ask_blocking
from django_redisjobs.core import lookup, operations
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.payload import parse_body
from django_redisjobs.core.records import ENDED, JobRecord, JobStatus
from django_redisjobs.core.scripts import Conversation
from django_redisjobs.core.texts import encodable
from django_redisjobs.durations import Duration, parse_duration
from django_redisjobs.exceptions import (
    JobCancelled,
    JobExpired,
    JobFailed,
    JobNotFound,
    PayloadMalformed,
    ResultTimeout,
)
from django_redisjobs.offline import OfflineJob
from django_redisjobs.serialization import codec, is_fetching
from django_redisjobs.snapshots import AttemptInfo, JobInfo

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


def get_job(job_id: str) -> JobHandle[Any]:
    """The handle of a job. No I/O: what Redis does not know shows at the first call."""
    if not isinstance(job_id, str):
        raise TypeError(f"The id of a job is a str, not {job_id!r}.")
    return JobHandle(job_id)


@dataclass(frozen=True, slots=True, repr=False)
class JobHandle(Generic[R_co]):
    """A job. ``id`` is data; everything else asks Redis, and has an async twin.

    All of it raises JobNotFound for a job that Redis does not know (its transaction
    has not committed, it was deleted, or it ended long ago) and ServerUnavailable.
    """

    id: str
    queue: str | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"<JobHandle {self.id}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> JobHandle[R_co]:
        """The same. A test that has copies of what its class keeps asks it for its own."""
        offline.copy_known(self.id, memo)
        return self

    def status(self) -> JobStatus:
        return ask(self._status())

    async def astatus(self) -> JobStatus:
        return await aask(self._status())

    def info(self) -> JobInfo:
        """All that is stored of the job, at one moment.

        Raises:
            PayloadMalformed: it was stored by another build, and this one cannot
                read its values.
        """
        return JobInfo.of(ask(self._record()))

    async def ainfo(self) -> JobInfo:
        return JobInfo.of(await aask(self._record()))

    def wait(self, timeout: Duration | None = None) -> JobStatus:
        """The status with which the job ended; blocks on Redis until it did.

        ``timeout`` None waits without limit, 0 looks once; any other is kept to some
        hundredths of a second.

        Raises:
            ResultTimeout: it has not ended by then. It goes on.
        """
        seconds = _seconds(timeout)
        return ask_blocking(self._wait(seconds), _deadline(seconds))

    async def await_(self, timeout: Duration | None = None) -> JobStatus:  # noqa: ASYNC109
        seconds = _seconds(timeout)
        return await aask_blocking(self._wait(seconds), _deadline(seconds))

    def result(self, timeout: Duration | None = None) -> R_co:
        """What the function returned; waits as ``wait`` does.

        None also when the result is not kept (any more): see RESULT_TTL.

        Raises:
            JobFailed: with the last attempt's exception and traceback in it.
            JobCancelled: somebody cancelled it.
            JobExpired: nobody started it in time.
            ResultTimeout: it has not ended in time. It goes on.
        """
        seconds = _seconds(timeout)
        text = _result_of(ask_blocking(self._ended(seconds), _deadline(seconds)))
        result: R_co = codec.loads(text)
        return result

    async def aresult(self, timeout: Duration | None = None) -> R_co:  # noqa: ASYNC109
        seconds = _seconds(timeout)
        ended = await aask_blocking(self._ended(seconds), _deadline(seconds))
        text = _result_of(ended)
        # A model instance is fetched, which Django refuses on an event loop.
        loads = sync_to_async(codec.loads) if is_fetching(text) else None
        result: R_co = await loads(text) if loads else codec.loads(text)
        return result

    def cancel(self) -> bool:
        """End it unless it has ended; one that runs is interrupted, within a second.

        False when it had ended.
        """
        return ask(self._operate(_cancel, OfflineJob.cancel)) != "ended"

    async def acancel(self) -> bool:
        return await aask(self._operate(_cancel, OfflineJob.cancel)) != "ended"

    def retry(self) -> bool:
        """Run it again: same id, fresh budget of retries, old attempts kept.

        False when there is nothing to do: it waits or runs.
        """
        return ask(self._operate(operations.retry, OfflineJob.retry)) == "pending"

    async def aretry(self) -> bool:
        operation = self._operate(operations.retry, OfflineJob.retry)
        return await aask(operation) == "pending"

    def delete(self) -> bool:
        """Forget it altogether. False when it runs: cancel it first."""
        return ask(self._operate(operations.delete, OfflineJob.delete)) == "deleted"

    async def adelete(self) -> bool:
        operation = self._operate(operations.delete, OfflineJob.delete)
        return await aask(operation) == "deleted"

    def _places(self) -> list[GroupKeys]:
        """Where it may be: an id alone does not tell its group of queues."""
        if conf.get_settings().eager or encodable(self.id) != self.id:
            # Nothing is in Redis, which may not even be there, or could not have such an id.
            return []
        if self.queue is not None:
            return [conf.keys_for(self.queue)]
        return list(conf.groups())

    def _found(
        self, look: Callable[[GroupKeys, str], Conversation[T | None]]
    ) -> Conversation[tuple[GroupKeys, T]]:
        for keys in self._places():
            found = yield from look(keys, self.id)
            if found is not None:
                return keys, found
        raise JobNotFound(
            f"Redis knows no job {self.id!r}. Its transaction may not have committed "
            "yet; or it was deleted, or ended longer ago than REDISJOBS['KEEP'] says."
        )

    def _status(self) -> Conversation[JobStatus]:
        if own := offline.recall(self.id):
            return own.status
        _, status = yield from self._found(lookup.status)
        return status

    def _record(self) -> Conversation[JobRecord]:
        if own := offline.recall(self.id):
            return own.record()
        keys, record = yield from self._found(lookup.job)
        (record,) = yield from lookup.due_next(keys, [record])
        return record

    def _operate(
        self,
        operation: Callable[[GroupKeys, str], Conversation[str]],
        offline_operation: Callable[[OfflineJob], str],
    ) -> Conversation[str]:
        if own := offline.recall(self.id):
            return offline_operation(own)

        def look(keys: GroupKeys, job_id: str) -> Conversation[str | None]:
            word = yield from operation(keys, job_id)
            return None if word == "missing" else word

        _, word = yield from self._found(look)
        return word

    def _wait(
        self, timeout_seconds: float | None, begun: float | None = None
    ) -> Conversation[JobStatus]:
        if own := offline.recall(self.id):
            return own.end()
        begun = time.monotonic() if begun is None else begun
        deadline = None if timeout_seconds is None else begun + timeout_seconds
        keys, status = yield from self._found(lookup.status)
        ended = status in ENDED
        while not ended:
            left: float = lookup.LONGEST_BLOCK_S
            if deadline is not None:
                left = min(left, deadline - time.monotonic())
            if left <= 0:
                raise ResultTimeout(
                    f"Job {self.id} is {status} and had not ended after "
                    f"{timeout_seconds:g} s. It goes on; ask again, or cancel() it."
                )
            await_end = lookup.await_end(keys, self.id, math.ceil(left * 1000))
            now, ended = yield from await_end
            if now is None:
                raise JobNotFound(f"Job {self.id} was deleted while it was waited for.")
            status = now
        return status

    def _ended(self, timeout_seconds: float | None) -> Conversation[JobRecord]:
        begun = time.monotonic()
        while True:
            yield from self._wait(timeout_seconds, begun)
            record = yield from self._record()
            # Somebody may have had it run again between the two.
            if record.status in ENDED:
                return record


def _cancel(keys: GroupKeys, job_id: str) -> Conversation[str]:
    return operations.cancel(keys, job_id, keep=conf.get_settings().keep)


def _seconds(timeout: Duration | None) -> float | None:
    return None if timeout is None else parse_duration(timeout)


def _deadline(timeout_seconds: float | None) -> float | None:
    return None if timeout_seconds is None else time.monotonic() + timeout_seconds


def _result_of(record: JobRecord) -> str:
    """The JSON text of an ended job's result; raises if it has none."""
    if record.status is JobStatus.SUCCEEDED:
        return record.result if record.result is not None else "null"
    try:
        name = f"{parse_body(record.shown_body).function} ({record.id})"
    except PayloadMalformed:
        name = f"Job {record.id}"
    if record.status is JobStatus.CANCELLED:
        # Nobody cancelled a job that discards itself: it says why.
        reason = f": {record.error}" if record.error else "."
        raise JobCancelled(f"{name} was cancelled{reason}")
    if record.status is JobStatus.EXPIRED:
        raise JobExpired(f"{name} expired: nobody started it in time.")
    attempts = tuple(map(AttemptInfo.of, record.attempts))
    last = attempts[-1] if attempts else None
    raise JobFailed(f"{name} failed: {_reason(record, last)}", last)


def _reason(record: JobRecord, last: AttemptInfo | None) -> str:
    reason = record.error
    if last is not None and last.exception_class:
        reason = f"{last.exception_class}: {last.message}"
        if record.attempts_made > 1:
            reason += f" (attempt {record.attempts_made})"
    return reason or "no reason is known"
