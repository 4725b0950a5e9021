"""Running the jobs that are in Redis, as a worker would, within a test."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from typing import Any, Final

from asgiref.sync import sync_to_async

from django_redisjobs import conf, connections
from django_redisjobs.calls import explained
from django_redisjobs.core.operations import CHUNK, promote_many
from django_redisjobs.core.presence import rescue
from django_redisjobs.core.scripts import Conversation, perform, words
from django_redisjobs.core.settlements import Claimed
from django_redisjobs.worker.direct import DirectExecution, SilentLog
from django_redisjobs.worker.machine import identity
from django_redisjobs.worker.memory import new_base, worker_id
from django_redisjobs.worker.stations import Post, Station, posts

from .capturing import active_capture
from .commits import committing, send_what_waits
from .limits import (
    LIMIT,
    Scheduled,
    check_queues,
    horizon_ms,
    refuse_loop,
    too_many,
)
from .outcomes import Outcome, raise_first

# Nobody renews this lease, and people stop tests in debuggers.
_LEASE_MS: Final = 3_600_000


def run_jobs(
    *queues: str,
    scheduled: Scheduled = False,
    raise_errors: bool = True,
    limit: int = LIMIT,
) -> list[Outcome]:
    """Run all that can run now, and what that enqueues, in the calling thread.

    Strict order of ``queues`` (default: all, as the settings order them). It is the
    worker's execution, but for timeouts, which interrupt nothing here. It sees what
    the test's transaction wrote, closes no database connection, and takes what only
    waits for the commit of a TestCase for committed, but for what ``setUpTestData``
    enqueued. Within ``captured_jobs()`` it runs those.

    ``scheduled``: also run what waits for its time or for a retry; True for all of
    it, a duration or an aware time for what is due by then. ``raise_errors``: raise
    what the first job raised that failed for good or waits for a retry, when all
    have run. ``limit``: attempts after which it gives up.

    Gives every attempt in the order in which they ran.

    Raises:
        RuntimeError: the limit was reached, or this is an async test.
        ServerUnavailable: Redis cannot be reached.
        UnknownQueue: a queue is not in the settings.
    """
    refuse_loop("await arun_jobs()")
    capture = active_capture()
    if capture is not None:
        return capture.run(
            *queues, scheduled=scheduled, raise_errors=raise_errors, limit=limit
        )
    check_queues(queues)
    send_what_waits()
    outcomes: list[Outcome] = []
    if not conf.get_settings().eager:
        _run_all(queues, scheduled, limit, outcomes)
    if raise_errors:
        raise_first(outcomes)
    return outcomes


async def arun_jobs(
    *queues: str,
    scheduled: Scheduled = False,
    raise_errors: bool = True,
    limit: int = LIMIT,
) -> list[Outcome]:
    """``run_jobs`` from an async test."""
    return await sync_to_async(run_jobs)(
        *queues, scheduled=scheduled, raise_errors=raise_errors, limit=limit
    )


def _run_all(
    queues: Sequence[str], scheduled: Scheduled, limit: int, outcomes: list[Outcome]
) -> None:
    execution = DirectExecution(SilentLog(), retries=True)
    shift = _Shift(queues)
    try:
        while (found := shift.next(scheduled)) is not None:
            if len(outcomes) >= limit:
                raise too_many(limit)
            job, station = found
            with committing():
                exception = execution.attempt(job, station)
            outcomes.append(Outcome.of(station.outcomes, exception))
    finally:
        shift.end()


class _Shift:
    """Claims jobs one by one, in all groups of the queues."""

    def __init__(self, queues: Sequence[str]) -> None:
        self._posts = posts(queues or tuple(conf.get_settings().queues))
        self._client = connections.worker_client()
        self._worker = worker_id(new_base(), 1)
        self._stations = [
            Station(post, self._client, self._worker, 1, lease_ms=_LEASE_MS)
            for post in self._posts
        ]
        for station in self._stations:
            with explained():
                station.register({"name": "a test", **identity()})

    def next(self, scheduled: Scheduled) -> tuple[Claimed, Station] | None:
        """Settle, and claim; None when nothing is left."""
        found = self._claim()
        while found is None and self._promote(horizon_ms(scheduled)):
            found = self._claim()
        return found

    def end(self) -> None:
        """Settle, and give back what did not run."""
        settings = conf.get_settings()
        for post, station in zip(self._posts, self._stations, strict=True):
            with explained():
                if station.outcomes:
                    station.exchange(want=0, fresh=False)
                self._ask(
                    rescue(
                        post.keys,
                        self._worker,
                        running={},
                        reason="the test has run it",
                        max_crashes=settings.max_crashes,
                        keep=settings.keep,
                        charged=False,
                    )
                )

    def _claim(self) -> tuple[Claimed, Station] | None:
        for station in self._stations[1:]:
            if station.outcomes:
                # Not only when its turn comes: the next job may look at it.
                with explained():
                    station.exchange(want=0, fresh=False)
        for station in self._stations:
            more = True
            while more:
                with explained():
                    exchange = station.exchange(want=1, fresh=True)
                if exchange.jobs:
                    return exchange.jobs[0], station
                more = exchange.more
        return None

    def _promote(self, until_ms: float) -> int:
        """Make ready what is due by then; gives how many."""
        with explained():
            return sum(
                self._ask(_promote(post, queue, until_ms))
                for post in self._posts
                for queue in post.queues
            )

    def _ask(self, conversation: Conversation[Any]) -> Any:
        return perform(self._client, conversation)


def _promote(post: Post, queue: str, until_ms: float) -> Conversation[int]:
    until = "+inf" if isinf(until_ms) else f"{until_ms:.0f}"
    key = post.keys.scheduled(queue)
    (due,) = yield [("ZRANGEBYSCORE", key, "-inf", until, "LIMIT", 0, CHUNK)]
    if not due:
        return 0
    replies = yield from promote_many(post.keys, words(due))
    return replies.count("pending")
