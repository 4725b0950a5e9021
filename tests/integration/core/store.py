"""The store as a test holds it: one group on a real server, few words a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import redis

from django_redisjobs.core import inspection, lookup, operations
from django_redisjobs.core.consumer import Consumer, Exchange
from django_redisjobs.core.flights import Flight
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.presence import NOTHING, Beat, Rescued, beat, rescue
from django_redisjobs.core.producer import enqueue
from django_redisjobs.core.records import (
    DEFAULT_KEEP,
    AttemptRecord,
    JobRecord,
    JobStatus,
    KeepPolicy,
    NewJob,
    new_id,
)
from django_redisjobs.core.scripts import Client, Conversation, perform
from django_redisjobs.core.settlements import Claimed, Settlement

LEASE_MS = 30_000
BODY = '["shop.jobs.send",[1],{}]'


class Unanswered:
    """A client whose connection breaks: before a command reaches Redis, or after.

    ``breaks(command)`` is asked for each one and gives "before", "after" or None.
    """

    def __init__(
        self, client: redis.Redis, breaks: Callable[[tuple[Any, ...]], str | None]
    ) -> None:
        self._client = client
        self.breaks = breaks

    def execute_command(self, *command: Any, **options: Any) -> Any:
        when = self.breaks(command)
        if when == "before":
            raise redis.ConnectionError("broken before it was sent")
        reply = self._client.execute_command(*command, **options)
        if when == "after":
            raise redis.ConnectionError("broken before the answer came")
        return reply

    def pipeline(self, transaction: bool = True) -> Any:
        return self._client.pipeline(transaction=transaction)


class Worker:
    """A consumer and what it was given, as a process would have it."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.name = consumer.worker

    def claim(self, want: int = 1, *, fresh: bool = False) -> list[Claimed]:
        return self.exchange([], want=want, fresh=fresh).jobs

    def exchange(
        self, settlements: Sequence[Settlement], *, want: int = 0, fresh: bool = False
    ) -> Exchange:
        return self.consumer.exchange(settlements, want=want, fresh=fresh)

    def launch(self, *, want: int) -> None:
        client = self.consumer._client
        self.consumer.launch(lambda each: Flight(client, each), want=want, fresh=False)

    def settle(self, *jobs: Claimed, kind: str = "succeeded", **more: Any) -> Exchange:
        return self.exchange([settlement(job, kind, **more) for job in jobs])

    @property
    def held(self) -> int:
        return self.consumer.held


class Store:
    """One group of keys and the calls on it."""

    def __init__(self, client: redis.Redis, keys: GroupKeys) -> None:
        self.client = client
        self.keys = keys
        self._workers = 0

    def do(self, conversation: Conversation[Any], client: Client | None = None) -> Any:
        return perform(client or self.client, conversation)

    # -- writing ---------------------------------------------------------------

    def enqueue(self, *jobs: NewJob) -> list[str]:
        """Whether each was new, or a duplicate of one that was there already."""
        known = self.do(enqueue(self.keys, jobs))
        return ["duplicate" if place in known else "new" for place in range(len(jobs))]

    def add(self, queue: str = "q", number: int = 1, **more: Any) -> list[str]:
        """Enqueue jobs that are alike; their ids."""
        jobs = [job(queue, **more) for _ in range(number)]
        assert self.enqueue(*jobs) == ["new"] * number
        return [one.id for one in jobs]

    def worker(
        self,
        *queues: str,
        name: str = "",
        client: Client | None = None,
        keep: KeepPolicy = DEFAULT_KEEP,
        max_crashes: int = 3,
        lease_ms: int = LEASE_MS,
        **info: str,
    ) -> Worker:
        """A registered worker of ``queues``, of ``q`` where none is named."""
        self._workers += 1
        consumer = Consumer(
            client or self.client,
            self.keys,
            name or f"w{self._workers}",
            queues or ("q",),
            lease_ms=lease_ms,
            keep=keep,
            max_crashes=max_crashes,
        )
        consumer.register({"host": "here", "pid": str(self._workers), **info})
        return Worker(consumer)

    def rescue(
        self,
        worker: Worker | str,
        running: Sequence[Claimed | str] | None = (),
        *,
        reason: str = "killed by signal 9",
        max_crashes: int = 3,
        keep: KeepPolicy = DEFAULT_KEEP,
        charged: bool = True,
    ) -> Rescued:
        tokens = None
        if running is not None:
            tokens = [one if isinstance(one, str) else one.token for one in running]
        return self.do(
            rescue(
                self.keys,
                worker if isinstance(worker, str) else worker.name,
                running=None if tokens is None else dict.fromkeys(tokens, NOTHING),
                reason=reason,
                max_crashes=max_crashes,
                keep=keep,
                charged=charged,
            )
        )

    def beat(
        self,
        *workers: Worker | str,
        queues: Sequence[str] = ("q",),
        lease_ms: int = LEASE_MS,
        max_crashes: int = 3,
        keep: KeepPolicy = DEFAULT_KEEP,
    ) -> Beat:
        names = [one if isinstance(one, str) else one.name for one in workers]
        return self.do(
            beat(
                self.keys,
                names,
                queues=queues,
                lease_ms=lease_ms,
                max_crashes=max_crashes,
                keep=keep,
            )
        )

    def cancel(self, *ids: str, keep: KeepPolicy = DEFAULT_KEEP) -> list[str]:
        return self.do(operations.cancel_many(self.keys, ids, keep=keep))

    def retry(self, *ids: str) -> list[str]:
        return self.do(operations.retry_many(self.keys, ids))

    def delete(self, *ids: str) -> list[str]:
        return self.do(operations.delete_many(self.keys, ids))

    def unpark(self, *ids: str) -> list[str]:
        return self.do(operations.unpark_many(self.keys, ids))

    def promote(self, *ids: str) -> list[str]:
        return self.do(operations.promote_many(self.keys, ids))

    def move(self, *ids: str, queue: str) -> list[str]:
        return self.do(operations.move_many(self.keys, ids, queue))

    def pause(self, queue: str = "q", **more: Any) -> int:
        return self.do(operations.pause(self.keys, queue, **more))

    def resume(self, queue: str = "q") -> bool:
        return self.do(operations.resume(self.keys, queue))

    def purge(self, queue: str = "q") -> int:
        return self.do(operations.purge(self.keys, queue))

    # -- reading ---------------------------------------------------------------

    def record(self, job_id: str) -> JobRecord:
        found = self.do(lookup.job(self.keys, job_id))
        assert found is not None, f"{job_id} is unknown"
        return found

    def status(self, job_id: str) -> JobStatus | None:
        return self.do(lookup.status(self.keys, job_id))

    def aside(self) -> list[tuple[str, bytes]]:
        """What was set aside: 'PLACE REASON' without the time, and the raw entry."""
        found = []
        for entry in self.client.lrange(self.keys.aside, 0, -1):
            reason, _, raw = entry.partition(b"\n")
            found.append((reason.decode(errors="replace").partition(" ")[2], raw))
        return found

    def statistics(self, minutes: int) -> list[dict[str, int]]:
        """Counters of the last minutes, oldest first."""
        now = self.now_ms() // 60_000
        numbers = range(now - minutes + 1, now + 1)
        return self.do(inspection.statistics(self.keys, "minute", numbers))

    def tokens(self, queue: str = "q") -> int:
        """How many wake-up tokens a queue has."""
        return int(self.client.llen(self.keys.wake(queue)))

    def now_ms(self) -> int:
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    # -- time, which no test waits for -------------------------------------------

    def maintain_now(self) -> None:
        """Let the next step or beat maintain, as if 150 ms had gone by."""
        self.client.set(self.keys.base + "maintained", self.now_ms() - 150)

    def end_lease(self, *workers: Worker) -> None:
        """As if a worker had not been heard of for a lease, while Redis was there."""
        ended = {worker.name: self.now_ms() - 1 for worker in workers}
        self.client.zadd(self.keys.workers, ended)
        self.maintain_now()

    def make_due(self, *ids: str, queue: str = "q") -> None:
        self.client.zadd(self.keys.scheduled(queue), dict.fromkeys(ids, 1))


def job(queue: str = "q", **more: Any) -> NewJob:
    return NewJob(**{"id": new_id(), "queue": queue, "body": BODY, **more})


def attempt(job: Claimed, outcome: str = "failed", message: str = "no") -> str:
    """The JSON of an attempt that ended badly."""
    return AttemptRecord(
        job.attempts + 1, job.run, job.token, 1, 2, outcome, "ValueError", message, "…"
    ).to_json()


def settlement(job: Claimed, kind: str = "succeeded", **more: Any) -> Settlement:
    """A settlement as a worker would make it."""
    fields: dict[str, Any] = {
        "function": "shop.jobs.send",
        "started_ms": job.claimed_ms,
        "finished_ms": job.claimed_ms + 5,
    }
    if kind == "succeeded":
        fields.update(result='"done"', result_ttl_ms=3_600_000)
    elif kind in {"failed", "retry", "cancelled"}:
        fields.update(attempt=attempt(job), error="ValueError: no")
    elif kind == "parked":
        fields.update(error="no such function")
    fields.update(more)
    return Settlement(kind, job, **fields)  # type: ignore[arg-type]


def ids(jobs: Iterable[Claimed]) -> list[str]:
    return [one.id for one in jobs]
