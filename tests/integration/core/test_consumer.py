"""A worker and Redis agree on what is held, whatever was lost between them."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from django_redisjobs.core import settled
from django_redisjobs.core.consumer import Consumer, hand_back
from django_redisjobs.core.exceptions import LeaseLost, SchemaMismatch
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import DEFAULT_KEEP, JobStatus
from django_redisjobs.core.settlements import Settlement

from .places import Places
from .store import LEASE_MS, Store, Unanswered, Worker, ids, settlement

Look = Callable[[], Places]


class Snapshot:
    """What a failover goes back to: all keys of the group as they were."""

    def __init__(self, store: Store) -> None:
        self._client, self._base = store.client, store.keys.base
        self._keys = {
            key: (self._client.dump(key), max(0, self._client.pttl(key)))
            for key in self._client.scan_iter(f"{self._base}*", count=1000)
        }

    def restore(self) -> None:
        for key in list(self._client.scan_iter(f"{self._base}*", count=1000)):
            self._client.delete(key)
        for key, (dump, ttl) in self._keys.items():
            self._client.restore(key, ttl, dump)


def unanswered(client: redis.Redis, when: str | None = None) -> Unanswered:
    """A client of which the next calls break; ``breaks`` is set by the test."""
    return Unanswered(client, lambda _: when)


def test_a_claimed_job_is_what_was_enqueued(store: Store):
    (first,) = store.add(body='["f",[],{}]', priority=0, delay_ms=None)
    worker = store.worker(name="a")

    exchange = worker.exchange([], want=5)

    (claimed,) = exchange.jobs
    record = store.record(first)
    assert (claimed.id, claimed.queue, claimed.priority) == (first, "q", 0)
    assert claimed.body == '["f",[],{}]' == record.body
    assert claimed.token == "a:1:0"
    assert claimed.enqueued_ms == record.enqueued_ms
    assert (claimed.run, claimed.attempts, claimed.crashes) == (1, 0, 0)
    assert (claimed.alone, claimed.meta) == (False, None)
    assert record.status is JobStatus.RUNNING
    assert record.worker == "a"
    assert record.started_ms == claimed.claimed_ms == exchange.server_ms
    assert abs(exchange.server_ms - store.now_ms()) < 5000


def test_an_id_registers_once(store: Store):
    store.worker(name="a")

    with pytest.raises(RuntimeError, match="a was used before"):
        store.worker(name="a")


def test_one_who_never_registered_gets_nothing(store: Store, look: Look):
    store.add()
    consumer = Consumer(
        store.client,
        store.keys,
        "stranger",
        ["q"],
        lease_ms=LEASE_MS,
        keep=DEFAULT_KEEP,
        max_crashes=3,
    )
    before = look()

    with pytest.raises(LeaseLost):
        consumer.exchange([], want=1)

    assert look() == before


def test_no_more_is_claimed_than_wanted_and_in_order(store: Store, look: Look):
    added = store.add(number=250)
    worker = store.worker()

    got = [ids(worker.claim(want)) for want in (0, 1, 100, 101, 64)]

    assert [len(part) for part in got] == [0, 1, 100, 101, 48]
    assert [one for part in got for one in part] == added
    assert worker.held == 250
    look()


def test_queues_are_served_in_order(store: Store):
    low, high = store.add("low", 3), store.add("high", 2)
    worker = store.worker("high", "low")

    assert ids(worker.claim(3)) == [*high, low[0]]
    later = store.add("high")
    assert ids(worker.claim(2)) == [*later, low[1]]


def test_a_stale_call_claims_nothing_but_settles(store: Store, look: Look):
    store.add(number=3)
    worker = store.worker()
    (first,) = worker.claim()
    commands = []
    worker.consumer._client = Unanswered(store.client, commands.append)
    worker.exchange([settlement(first)], want=1)
    late = commands[-1]
    held = worker.held
    before = look()

    # The same call once more, as a network may deliver it.
    reply = store.client.execute_command(*late)

    assert reply[0] == b"stale"
    assert look() == before
    assert worker.held == held == 1


def test_a_lost_claim_is_found_though_as_many_were_handed_back(store: Store):
    """Both sides hold one job then, but not the same one."""
    wanted = store.add(number=3)
    worker = store.worker()
    first, second = worker.claim(2)
    client = worker.consumer._client
    worker.consumer._client = unanswered(store.client, "after")
    with pytest.raises(redis.ConnectionError):
        worker.exchange([settlement(first)], want=1)
    worker.consumer._client = client
    assert store.do(hand_back(store.keys, worker.name, [second.token])) == 1

    exchange = worker.exchange([settlement(first)], want=0)

    assert ids(exchange.jobs) == [wanted[2]]
    assert exchange.dropped == {second.token}
    assert worker.held == 1


def test_a_lost_claim_is_told_also_when_a_later_version_has_come(store: Store):
    wanted = store.add(number=2)
    worker = store.worker()
    client = worker.consumer._client
    worker.consumer._client = unanswered(store.client, "after")
    with pytest.raises(redis.ConnectionError):
        worker.claim()
    worker.consumer._client = client
    store.client.set(store.keys.schema, "2")

    assert ids(worker.claim()) == wanted[:1]

    with pytest.raises(SchemaMismatch):
        worker.claim()
    assert worker.held == 1


def test_a_worker_that_cannot_agree_with_redis_gives_up(store: Store):
    store.add()
    worker = store.worker()
    store.client.hset(store.keys.worker(worker.name), "call", 2**53)

    with pytest.raises(LeaseLost):
        worker.claim()


def test_what_is_remembered_is_bounded(store: Store, monkeypatch):
    monkeypatch.setattr(settled, "REMEMBERED_BYTES", 50_000)
    store.add(number=110)
    worker = store.worker()
    for _ in range(10):
        worker.settle(*worker.claim(10), result=f'"{"x" * 5000}"')

    assert 1 <= len(worker.consumer._settled) <= 10

    jobs = worker.claim(10)
    worker.settle(*jobs, result=f'"{"x" * 60_000}"')
    (last,) = worker.consumer._settled.find({job.token for job in jobs})
    assert last == jobs[-1].token


def test_a_call_number_that_redis_has_seen_is_passed_over(store: Store, look: Look):
    """As after the network repeated a claim: its first answer never came."""
    store.add(number=5)
    worker = store.worker()
    worker.claim()
    store.client.hset(store.keys.worker(worker.name), "call", 40)

    exchange = worker.exchange([], want=2)

    assert len(exchange.jobs) == 2
    # The call after 40 asked what is held: whoever used that number may have claimed.
    assert [job.token for job in exchange.jobs] == ["w1:42:0", "w1:42:1"]
    look()


@pytest.mark.parametrize("seed", range(60))
def test_a_connection_lost_at_any_call_loses_and_repeats_nothing(
    store: Store, look: Look, seed: int
):
    """A worker that calls again with the same settlements, as it promises to."""
    chance = random.Random(seed)
    client = unanswered(store.client)
    worker = store.worker(client=client)
    added = store.add(number=25)
    ran: list[str] = []
    finished: list[Settlement] = []
    client.breaks = lambda _: chance.choice(["before", "after", None, None])

    for _ in range(200):
        want = chance.choice([0, 1, 3, 5])
        try:
            exchange = worker.exchange(finished, want=want)
        except redis.ConnectionError:
            continue
        assert not exchange.dropped
        ran += ids(exchange.jobs)
        finished = [settlement(job) for job in exchange.jobs]
        if not finished and look().of(JobStatus.SUCCEEDED) == set(added):
            break

    assert sorted(ran) == sorted(added)
    assert look().of(JobStatus.SUCCEEDED) == set(added)
    assert worker.held == 0


@pytest.mark.parametrize("seed", range(60))
def test_failovers_and_lost_connections_together(store: Store, look: Look, seed: int):
    """What is forgotten may run again; nothing is lost, and it all comes to an end."""
    chance = random.Random(seed)
    client = unanswered(store.client)
    worker = store.worker(client=client)
    added = store.add(number=20)
    unsettled: list[Settlement] = []
    snapshots = [Snapshot(store)]

    for round_ in range(300):
        calm = round_ > 60
        kinds = ["before", "after", None, None] if not calm else [None]
        client.breaks = lambda _, kinds=kinds: chance.choice(kinds)
        if chance.random() < 0.1:
            snapshots.append(Snapshot(store))
        if not calm and chance.random() < 0.1:
            snapshots[-1].restore()
        want = chance.choice([1, 3])
        try:
            exchange = worker.exchange(unsettled, want=want)
        except redis.ConnectionError:
            continue
        unsettled = [
            settlement(job, chance.choice(["succeeded", "released", "succeeded"]))
            for job in exchange.jobs
        ]
        if calm and not unsettled and not exchange.more:
            break

    found = look()
    assert found.of(JobStatus.SUCCEEDED) == set(added)
    assert worker.held == 0


def test_what_was_claimed_by_a_call_without_answer_is_taken_over(
    store: Store, look: Look
):
    added = store.add(number=4)
    client = unanswered(store.client)
    worker = store.worker(client=client)
    client.breaks = lambda _: "after"
    with pytest.raises(redis.ConnectionError):
        worker.claim(2)
    assert worker.held == 0
    client.breaks = lambda _: None

    exchange = worker.exchange([], want=2)

    assert ids(exchange.jobs) == added
    assert [job.run for job in exchange.jobs] == [1, 1, 1, 1]
    assert exchange.jobs[0].token == f"{worker.name}:1:0"
    assert worker.held == 4
    worker.settle(*exchange.jobs)
    assert look().of(JobStatus.SUCCEEDED) == set(added)


def test_a_worker_that_wants_nothing_still_learns_what_it_holds(store: Store):
    (added,) = store.add()
    client = unanswered(store.client)
    worker = store.worker(client=client)
    client.breaks = lambda _: "after"
    with pytest.raises(redis.ConnectionError):
        worker.claim()
    client.breaks = lambda _: None

    exchange = worker.exchange([], want=0)

    assert ids(exchange.jobs) == [added]
    assert worker.held == 1


def test_what_the_supervisor_handed_back_is_dropped(store: Store, look: Look):
    added = store.add(number=4)
    worker = store.worker()
    jobs = worker.claim(4)
    tokens = [job.token for job in jobs[1:3]]
    assert store.do(hand_back(store.keys, worker.name, tokens)) == 2
    assert store.do(hand_back(store.keys, worker.name, tokens)) == 0

    exchange = worker.exchange([settlement(jobs[0])], want=0)

    assert exchange.dropped == set(tokens)
    assert exchange.refused == ()
    assert worker.held == 1
    # They are at the head, in order, and their run was given back.
    again = store.worker().claim(5)
    assert ids(again) == added[1:3]
    assert [job.run for job in again] == [1, 1]
    look()


def test_a_settlement_of_what_was_handed_back_is_refused(store: Store, look: Look):
    store.add()
    worker = store.worker()
    (job,) = worker.claim()
    store.do(hand_back(store.keys, worker.name, [job.token]))

    exchange = worker.settle(job)

    assert exchange.refused == (job.token,)
    assert look().status[job.id] is JobStatus.PENDING
    assert worker.held == 0


def test_a_failover_that_forgets_a_settlement_gets_it_again(store: Store, look: Look):
    added = store.add(number=3)
    worker = store.worker()
    first, second, third = worker.claim(3)
    behind = Snapshot(store)
    worker.settle(first)
    worker.settle(second, kind="failed")
    worker.settle(third, kind="retry", delay_ms=60_000)
    behind.restore()
    assert look().of(JobStatus.RUNNING) == set(added)

    exchange = worker.exchange([], want=1)

    assert exchange.jobs == []
    assert exchange.refused == ()
    found = look()
    assert found.status == {
        first.id: JobStatus.SUCCEEDED,
        second.id: JobStatus.FAILED,
        third.id: JobStatus.SCHEDULED,
    }
    assert len(store.record(second.id).attempts) == 1


def test_a_failover_that_forgets_a_claim_drops_it(store: Store, look: Look):
    added = store.add(number=2)
    worker = store.worker()
    behind = Snapshot(store)
    jobs = worker.claim(2)
    behind.restore()

    exchange = worker.exchange([], want=0)

    assert exchange.dropped == {job.token for job in jobs}
    assert worker.held == 0
    assert look().of(JobStatus.PENDING) == set(added)
    # One of them had run by then: what it did comes too late.
    assert worker.settle(jobs[0]).refused == (jobs[0].token,)
    again = worker.claim(2)
    assert ids(again) == added
    assert not {job.token for job in again} & {job.token for job in jobs}


def test_a_failover_that_forgets_as_much_as_it_brings_back(store: Store, look: Look):
    """The number held agrees by chance: it shows with the next settlement."""
    first, second = store.add(number=2)
    worker = store.worker()
    (one,) = worker.claim()
    behind = Snapshot(store)
    (two,) = worker.exchange([settlement(one)], want=1).jobs
    behind.restore()

    exchange = worker.exchange([settlement(two)], want=0)

    assert exchange.refused == (two.token,)
    assert worker.held == 0
    found = look()
    assert found.status == {first: JobStatus.SUCCEEDED, second: JobStatus.PENDING}


def test_a_failover_that_forgets_the_worker_makes_it_register_anew(
    store: Store, look: Look
):
    (added,) = store.add()
    behind = Snapshot(store)
    worker = store.worker()
    (job,) = worker.claim()
    behind.restore()

    with pytest.raises(LeaseLost):
        worker.settle(job)

    assert worker.held == 0
    assert look().status[added] is JobStatus.PENDING
    (again,) = store.worker().claim()
    assert again.run == 1


def test_a_late_worker_changes_nothing_of_a_newer_run(store: Store, look: Look):
    (added,) = store.add()
    late, newer = store.worker(), store.worker()
    (old,) = late.claim()
    store.end_lease(late)
    (new,) = newer.claim()
    assert (new.id, new.run, new.crashes) == (added, 2, 1)
    before = look()

    for kind in ("succeeded", "failed", "retry", "released", "cancelled", "parked"):
        with pytest.raises(LeaseLost):
            late.settle(old, kind=kind)
    with pytest.raises(LeaseLost):
        late.settle(old, kind="note", meta='{"late":true}', progress="[9]")

    assert look() == before
    record = store.record(added)
    assert (record.meta, record.progress) == (None, None)
    assert newer.settle(new).refused == ()
    assert store.record(added).run == 2


def test_a_late_settlement_of_the_same_worker_does_not_end_a_newer_run(
    store: Store, look: Look
):
    store.add()
    worker = store.worker()
    (old,) = worker.claim()
    worker.settle(old, kind="released")
    (new,) = worker.claim()
    assert new.id == old.id

    exchange = worker.settle(old)

    assert exchange.refused == (old.token,)
    assert look().claims[new.id] == (worker.name, new.token)
    assert worker.settle(new).refused == ()


def test_one_whose_lease_is_lost_may_still_settle_what_nobody_took(
    store: Store, look: Look
):
    (added,) = store.add()
    worker = store.worker()
    (job,) = worker.claim()
    # The lease has ended, and maintenance is not due yet.
    store.client.zadd(store.keys.workers, {worker.name: store.now_ms() - 1})
    store.client.set(store.keys.base + "maintained", store.now_ms())

    with pytest.raises(LeaseLost):
        worker.settle(job)

    assert look().status[added] is JobStatus.SUCCEEDED


def test_the_settlement_comes_before_the_rescue_in_one_step(store: Store, look: Look):
    first, second = store.add(number=2)
    worker = store.worker()
    one, _ = worker.claim(2)
    store.end_lease(worker)

    with pytest.raises(LeaseLost):
        worker.settle(one)

    assert look().status == {first: JobStatus.SUCCEEDED, second: JobStatus.PENDING}


def test_released_work_is_at_the_head_in_order(store: Store, look: Look):
    added = store.add(number=5)
    worker = store.worker()
    jobs = worker.claim(3)

    worker.exchange(
        [
            settlement(jobs[0], "released"),
            settlement(jobs[1], "released", started_ms=0),
            settlement(jobs[2], "released"),
        ]
    )

    look()
    again = worker.claim(5)
    assert ids(again) == added
    assert [job.run for job in again] == [2, 1, 2, 1, 1]
    assert [job.attempts for job in again] == [0] * 5


def test_a_note_is_stored_while_the_job_runs(store: Store, look: Look):
    store.add()
    worker = store.worker()
    (job,) = worker.claim()

    worker.settle(job, kind="note", meta='{"a":[]}', progress="[1,2]")

    record = store.record(job.id)
    assert (record.meta, record.progress) == ('{"a":[]}', "[1,2]")
    assert look().status[job.id] is JobStatus.RUNNING
    assert worker.held == 1
    worker.settle(job, kind="retry", delay_ms=0)
    (again,) = worker.claim()
    assert again.meta == '{"a":[]}'
    assert (again.run, again.attempts) == (2, 1)


def test_what_is_to_be_cancelled_is_told_until_it_has_ended(store: Store):
    """A message may be lost with who has read it."""
    worker = store.worker()
    (added,) = store.add()
    (job,) = worker.claim()
    store.cancel(added)
    told = {worker.name: [f"cancel {added} {job.token}"]}

    assert store.client.lpop(store.keys.control(worker.name)) is not None
    assert [store.beat(worker).messages for _ in range(2)] == [told, told]

    worker.settle(job, kind="released")
    assert store.beat(worker).messages == {}


def test_a_job_asked_to_stop_is_not_retried_released_or_parked(
    store: Store, look: Look
):
    worker = store.worker()
    for kind in ("retry", "released", "parked"):
        (added,) = store.add()
        (job,) = worker.claim()
        assert store.cancel(added) == ["requested"]
        assert store.beat(worker).messages == {
            worker.name: [f"cancel {added} {job.token}"]
        }

        worker.settle(job, kind=kind)

        assert look().status[added] is JobStatus.CANCELLED


def test_a_job_asked_to_stop_that_ended_before_is_what_it_became(store: Store):
    worker = store.worker()
    for kind in ("succeeded", "failed"):
        (added,) = store.add()
        (job,) = worker.claim()
        store.cancel(added)

        worker.settle(job, kind=kind)

        assert store.status(added) == kind


def test_a_shutting_down_worker_is_forgotten_with_all_it_had(store: Store, look: Look):
    worker = store.worker()
    store.add(number=2)
    jobs = worker.claim(2)
    worker.settle(jobs[0])

    rescued = store.rescue(worker, charged=False)

    assert rescued.returned == (jobs[1].id,)
    assert look().status[jobs[1].id] is JobStatus.PENDING
    assert store.client.zcard(store.keys.workers) == 0


def test_consumers_of_two_groups_share_nothing(client: redis.Redis, prefix: str):
    one = Store(client, GroupKeys(prefix, "one"))
    two = Store(client, GroupKeys(prefix, "two"))
    (added,) = one.add()

    assert two.worker().claim() == []
    assert ids(one.worker().claim()) == [added]


def test_threads_of_one_worker_share_its_calls(store: Store, look: Look):
    added = store.add(number=120)
    worker: Worker = store.worker(client=store.client)

    def run(_: int) -> list[str]:
        done = []
        while jobs := worker.claim(3):
            worker.settle(*jobs)
            done += ids(jobs)
        return done

    with ThreadPoolExecutor(4) as pool:
        done = [one for part in pool.map(run, range(4)) for one in part]

    assert sorted(done) == sorted(added)
    assert look().of(JobStatus.SUCCEEDED) == set(added)
