"""Several workers, people and accidents in any order: no acknowledged job is lost."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import Any

import redis
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_redisjobs.core.consumer import hand_back
from django_redisjobs.core.exceptions import LeaseLost
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import ENDED, JobStatus
from django_redisjobs.core.settlements import Claimed, Settlement

from .places import Places, places
from .store import Store, Unanswered, Worker, job, settlement

QUEUES = ("high", "low")
KINDS = ("succeeded", "failed", "retry", "released", "cancelled", "parked", "note")
BODY = '["f",[],{},{"on_success":["s","low"],"on_failure":["g"]}]'
numbers = st.integers(0, 1_000)
EXAMPLES = int(os.environ.get("REDISJOBS_TEST_EXAMPLES", "10"))


@dataclass
class Process:
    """What a worker process has in its memory."""

    worker: Worker
    client: Unanswered
    holds: dict[str, Claimed] = field(default_factory=dict)
    unanswered: list[Settlement] = field(default_factory=list)
    handed_back: set[str] = field(default_factory=set)
    has_run: bool = False


class Machine(RuleBasedStateMachine):
    """Processes come and go; the store is read whole after each step."""

    def __init__(self, client: redis.Redis, prefix: str, number: int) -> None:
        super().__init__()
        self.store = Store(client, GroupKeys(prefix, f"g{number}"))
        self.alive: list[Process] = []
        self.dead: list[Process] = []
        self.acknowledged: set[str] = set()
        self.found = Places()

    @initialize()
    def begin(self) -> None:
        for queue in QUEUES:
            self.acknowledged |= set(self.store.add(queue, 3, body=BODY, callbacks=3))
            self.start(QUEUES)

    # -- people ----------------------------------------------------------------

    @rule(
        queue=st.sampled_from(QUEUES),
        priority=st.sampled_from([0, 0, 5, -5]),
        delay_ms=st.sampled_from([None, None, 600_000]),
        ttl_ms=st.sampled_from([None, None, None, 0]),
        number=st.integers(1, 3),
        lost=st.booleans(),
    )
    def enqueue(
        self,
        queue: str,
        priority: int,
        delay_ms: int | None,
        ttl_ms: int | None,
        number: int,
        lost: bool,
    ) -> None:
        jobs = [
            job(
                queue,
                priority=priority,
                delay_ms=delay_ms,
                ttl_ms=ttl_ms,
                body=BODY,
                callbacks=3,
            )
            for _ in range(number)
        ]
        replies = self.store.enqueue(*jobs)
        assert replies == ["new"] * number
        if lost:
            assert self.store.enqueue(*jobs) == ["duplicate"] * number
        self.acknowledged |= {one.id for one in jobs}

    @rule(
        number=numbers,
        operation=st.sampled_from(
            ["cancel", "cancel", "retry", "retry", "unpark", "promote", "move", "move"]
        ),
        queue=st.sampled_from(QUEUES),
    )
    def people_do(self, number: int, operation: str, queue: str) -> None:
        more = {"queue": queue} if operation == "move" else {}
        (reply,) = getattr(self.store, operation)(self.any_job(number), **more)
        assert reply != "missing" or operation == "unpark"

    def any_job(self, number: int) -> str:
        assume(self.found.status)
        return sorted(self.found.status)[number % len(self.found.status)]

    @rule(number=numbers)
    def delete(self, number: int) -> None:
        chosen = self.any_job(number)
        (reply,) = self.store.delete(chosen)
        assert reply != "missing"
        if reply == "deleted":
            self.acknowledged.discard(chosen)

    @rule(queue=st.sampled_from(QUEUES))
    def purge(self, queue: str) -> None:
        waiting = {JobStatus.PENDING, JobStatus.SCHEDULED}
        gone = {
            job_id
            for job_id, status in self.found.status.items()
            if status in waiting and self.found.place[job_id].endswith(f":{queue}")
        }
        assert self.store.purge(queue) == len(gone)
        self.acknowledged -= gone

    @rule(queue=st.sampled_from(QUEUES), pause=st.booleans())
    def pause_or_resume(self, queue: str, pause: bool) -> None:
        if pause:
            self.store.pause(queue)
        else:
            self.store.resume(queue)

    @rule(number=numbers)
    def time_passes(self, number: int) -> None:
        scheduled = sorted(self.found.of(JobStatus.SCHEDULED))
        assume(scheduled)
        chosen = scheduled[number % len(scheduled)]
        queue = self.found.place[chosen].partition(":")[2]
        self.store.make_due(chosen, queue=queue)

    # -- workers ---------------------------------------------------------------

    @precondition(lambda self: len(self.alive) < 3)
    @rule(queues=st.sampled_from([QUEUES, QUEUES, ("low",), ("low", "high")]))
    def start(self, queues: tuple[str, ...]) -> None:
        client = Unanswered(self.store.client, lambda _: None)
        self.alive.append(Process(self.store.worker(*queues, client=client), client))

    def any_alive(self, number: int) -> Process:
        assume(self.alive)
        return self.alive[number % len(self.alive)]

    @rule(
        number=numbers,
        want=st.integers(0, 4),
        kinds=st.lists(st.sampled_from(KINDS), max_size=4),
        breaks=st.lists(st.sampled_from([None, None, "before", "after"]), max_size=3),
    )
    def step(
        self, number: int, want: int, kinds: list[str], breaks: list[str | None]
    ) -> None:
        process = self.any_alive(number)
        sure = process.holds.keys() - process.handed_back
        ending = dict(zip(list(process.holds), kinds, strict=False))
        first_time = not process.unanswered
        for token, kind in ending.items():
            held = process.holds[token]
            more = {"delay_ms": 600_000} if kind == "retry" else {}
            process.unanswered.append(settlement(held, kind, **more))
            if kind != "note":
                del process.holds[token]
        left = list(breaks)
        process.client.breaks = lambda _: left.pop(0) if left else None
        fresh = not process.has_run
        try:
            exchange = process.worker.exchange(
                process.unanswered, want=want, fresh=fresh
            )
        except redis.ConnectionError:
            return
        except LeaseLost:
            self.alive.remove(process)
            self.dead.append(process)
            return
        process.unanswered.clear()
        assert not exchange.dropped & sure or not first_time
        for token in exchange.dropped:
            process.holds.pop(token, None)
        process.handed_back -= exchange.dropped
        elsewhere = {
            held.id
            for other in self.alive
            for token, held in other.holds.items()
            if other is not process and token not in other.handed_back
        }
        for claimed in exchange.jobs:
            assert claimed.id not in elsewhere, "runs in two living workers"
            if claimed.alone:
                assert fresh
                assert not process.holds
            process.holds[claimed.token] = claimed
            process.has_run = True
        self.check_held(process)

    def check_held(self, process: Process) -> None:
        """What Redis counts as held is what the process knows of."""
        key = self.store.keys.claimed(process.worker.name)
        entries = [raw.decode() for raw in self.store.client.lrange(key, 0, -1)]
        known = [held.entry for held in process.holds.values()]
        assert sorted(entries) == sorted(known)
        assert process.worker.held == len(known)

    @rule(
        number=numbers,
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
        want=st.integers(1, 4),
    )
    def a_stopped_process_goes_on_too_late(
        self, number: int, kinds: list[str], want: int
    ) -> None:
        """Its lease ends, others take its work, then it calls with what it did."""
        ghost = self.any_alive(number)
        assume(ghost.holds)
        self.alive.remove(ghost)
        self.dead.append(ghost)
        self.lapse(ghost)
        if not self.alive:
            self.start(QUEUES)
        self.step(number, want, [], [])
        before = places(self.store.client, self.store.keys)
        late = [
            settlement(held, kind)
            for held, kind in zip(ghost.holds.values(), kinds, strict=False)
        ]
        ghost.holds.clear()
        ghost.client.breaks = lambda _: None
        try:
            ghost.worker.exchange(late, want=want)
        except LeaseLost:
            assert places(self.store.client, self.store.keys) == before
        else:
            raise AssertionError("a ghost was served")

    @rule(number=numbers, tokens=st.lists(numbers, max_size=3))
    def supervisor_hands_back(self, number: int, tokens: list[int]) -> None:
        process = self.any_alive(number)
        held = sorted(process.holds)
        chosen = list(dict.fromkeys(held[one % len(held)] for one in tokens if held))
        store = self.store
        store.do(hand_back(store.keys, process.worker.name, chosen))
        process.handed_back |= set(chosen)

    @rule(
        number=numbers,
        how=st.sampled_from(["none", "one", "all", "unknown", "lease", "unseen"]),
    )
    def die(self, number: int, how: str) -> None:
        """A process dies with all it had in mind; ``unseen``: nobody knows yet."""
        process = self.any_alive(number)
        self.alive.remove(process)
        self.dead.append(process)
        held = list(process.holds.values())
        match how:
            case "none":
                self.store.rescue(process.worker, charged=False)
            case "one":
                self.store.rescue(process.worker, held[:1])
            case "all":
                self.store.rescue(process.worker, held)
            case "unknown":
                self.store.rescue(process.worker, None)
            case "lease":
                self.lapse(process)

    def lapse(self, process: Process) -> None:
        if self.store.client.zscore(self.store.keys.workers, process.worker.name):
            self.store.end_lease(process.worker)
            self.store.beat(*[one.worker for one in self.alive], queues=QUEUES)

    @rule(number=numbers)
    def lease_of_the_dead_ends(self, number: int) -> None:
        assume(self.dead)
        self.lapse(self.dead[number % len(self.dead)])

    @rule(number=numbers, kind=st.sampled_from(KINDS))
    def a_ghost_calls(self, number: int, kind: str) -> None:
        """A process that was believed dead goes on where it was stopped."""
        assume(self.dead)
        ghost = self.dead[number % len(self.dead)]
        known = self.store.client.zscore(self.store.keys.workers, ghost.worker.name)
        settlements = [settlement(held, kind) for held in ghost.holds.values()]
        before = dict(self.found.claims)
        try:
            ghost.worker.exchange(settlements, want=0)
        except LeaseLost:
            found = places(self.store.client, self.store.keys)
            for job_id, (worker, token) in before.items():
                if worker != ghost.worker.name:
                    assert found.claims.get(job_id) == (worker, token)
        except redis.ConnectionError:
            return
        else:
            assert known is not None
        ghost.holds.clear()

    @rule()
    def beat(self) -> None:
        reply = self.store.beat(*[one.worker for one in self.alive], queues=QUEUES)
        assert reply.lost == ()

    # -- what always holds -----------------------------------------------------

    @invariant()
    def consistent(self) -> None:
        self.found = places(self.store.client, self.store.keys)
        lost = self.acknowledged - self.found.status.keys()
        assert not lost, f"lost: {lost}"
        assert self.store.aside() == []

    def teardown(self) -> None:
        """Everything comes to an end once nothing goes wrong any more."""
        store = self.store
        for process in (*self.alive, *self.dead):
            store.rescue(process.worker, None)
        for queue in QUEUES:
            store.resume(queue)
        for _ in range(200):
            found = places(store.client, store.keys)
            live = [one for one, status in found.status.items() if status not in ENDED]
            if not live:
                break
            store.unpark(*live)
            for job_id in found.of(JobStatus.SCHEDULED):
                queue = found.place[job_id].partition(":")[2]
                store.make_due(job_id, queue=queue)
            worker = store.worker(*QUEUES)
            worker.settle(*worker.claim(5, fresh=True))
            store.rescue(worker, charged=False)
        else:
            raise AssertionError(f"never ended: {live}")
        assert not store.client.zcard(store.keys.workers)
        assert not self.acknowledged - found.status.keys()


def test_no_order_of_events_loses_a_job(client: redis.Redis, prefix: str):
    """Deterministic; REDISJOBS_TEST_EXAMPLES asks for more than the usual few."""
    counter = itertools.count()

    def machine() -> Any:
        return Machine(client, prefix, next(counter))

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=50,
            deadline=None,
            derandomize=EXAMPLES == 25,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
