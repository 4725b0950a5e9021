"""Redis full, read-only, without its scripts; and very large calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
import redis
from redis import asyncio as aioredis

from django_redisjobs.core import inspection, lookup, operations
from django_redisjobs.core.durability import Durability
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.producer import enqueue
from django_redisjobs.core.records import JobStatus, Keep
from django_redisjobs.core.scripts import aperform
from tests.servers import Server

from .places import Places, places
from .store import Store, ids, job, settlement

Look = Callable[[], Places]


# Up to Redis 6.2 an error inside a script is a general one with this text in it.
READ_ONLY = r"(?i)read.?only"


@pytest.fixture(scope="module")
def fragile() -> Iterator[Server]:
    """A server that tests may fill or make read-only."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def own(fragile: Server, prefix: str) -> Iterator[Store]:
    with fragile.client() as client:
        yield Store(client, GroupKeys(prefix))
        client.execute_command("REPLICAOF", "NO", "ONE")
        client.config_set("maxmemory", 0)
        client.flushall()


def fill(store: Store) -> None:
    store.client.config_set("maxmemory-policy", "noeviction")
    store.client.config_set("maxmemory", 1)


def contents(store: Store) -> dict[bytes, bytes]:
    return {key: store.client.dump(key) for key in store.client.keys("*")}


# -- full ------------------------------------------------------------------------------


def test_who_is_told_that_a_job_is_not_enqueued_can_rely_on_it(own: Store):
    """Of what fills the server the last job fits, and its mark does not any more."""
    durability = Durability(disk=False, replicas=0, timeout_ms=100)
    own.client.config_set("maxmemory-policy", "noeviction")
    own.client.config_set("maxmemory", own.client.info("memory")["used_memory"] + 2**18)

    refused = None
    while refused is None:
        one = job()
        try:
            assert own.do(enqueue(own.keys, [one], durability)) == []
            assert own.status(one.id) is JobStatus.PENDING
        except redis.ResponseError:
            refused = one

    assert own.status(refused.id) is None


@pytest.mark.parametrize(
    "fields", [{}, {"priority": 3}, {"delay_ms": 60_000}, {"ttl_ms": 5}]
)
def test_a_full_redis_takes_no_job_and_nothing_of_one(own: Store, fields: dict):
    own.add(number=3)
    fill(own)
    before = contents(own)

    with pytest.raises(redis.ResponseError, match=r"maxmemory|OOM"):
        own.enqueue(job(), job(**fields), job("another"))

    assert contents(own) == before


def test_an_enqueue_of_what_a_full_redis_has_already_is_a_duplicate(own: Store):
    one = job()
    own.enqueue(one)
    fill(own)

    with pytest.raises(redis.ResponseError, match=r"maxmemory|OOM"):
        own.enqueue(one)
    own.client.config_set("maxmemory", 0)

    assert own.enqueue(one) == ["duplicate"]


def test_a_full_redis_is_drained(own: Store):
    worker = own.worker(keep={JobStatus.SUCCEEDED: Keep(3_600_000, 2)})
    dying = own.worker()
    added = own.add(number=12)
    late = own.add(delay_ms=60_000, priority=2)
    own.make_due(*late)
    dying.claim(2)
    fill(own)

    assert own.beat(worker, dying).lost == ()
    fresh = own.worker()
    rescued = own.rescue(dying, None)
    assert len(rescued.returned) == 2
    done: list[str] = []
    jobs = fresh.claim(3)
    while jobs:
        done += ids(jobs)
        jobs = fresh.exchange([settlement(one) for one in jobs], want=3).jobs
    assert sorted(done) == sorted([*added, *late])
    own.client.config_set("maxmemory", 0)
    places(own.client, own.keys)


def test_all_kinds_of_ends_pass_a_full_redis(own: Store):
    worker = own.worker()
    own.add(number=7, body='["f",[],{},{"on_success":["g","q"]}]', callbacks=1)
    jobs = worker.claim(7)
    kinds = ["succeeded", "failed", "retry", "released", "cancelled", "parked", "note"]
    fill(own)

    exchange = worker.exchange(
        [settlement(one, kind) for one, kind in zip(jobs, kinds, strict=True)]  # type: ignore[arg-type]
    )

    assert exchange.refused == ()
    own.client.config_set("maxmemory", 0)
    found = places(own.client, own.keys)
    assert [found.status[one.id] for one in jobs] == [
        *("succeeded", "failed", "scheduled", "pending", "cancelled", "parked"),
        "running",
    ]
    assert f"{jobs[0].id}-s1" in found.status


def test_what_people_do_to_a_full_redis(own: Store):
    pending, running, ended = own.add(number=3)
    worker = own.worker()
    first, second = worker.claim(2)
    worker.settle(second)
    fill(own)

    assert own.cancel(first.id) == ["requested"]
    own.pause("q", reason="full")
    assert own.resume("q")
    assert own.delete(second.id, ended) == ["deleted", "deleted"]
    own.do(inspection.counts(own.keys, ["q"]))
    assert own.purge() == 0
    own.client.config_set("maxmemory", 0)
    places(own.client, own.keys)
    assert {pending, running} == {first.id, second.id}


def test_a_retry_by_hand_in_a_full_redis_changes_nothing(own: Store):
    worker = own.worker()
    (added,) = own.add()
    worker.settle(*worker.claim())
    fill(own)
    before = contents(own)

    with pytest.raises(redis.ResponseError, match=r"maxmemory|OOM"):
        own.retry(added)

    assert contents(own) == before


def test_waiting_for_a_job_in_a_full_redis(own: Store):
    (added,) = own.add()
    fill(own)

    status, ended = own.do(lookup.await_end(own.keys, added, 1))

    assert (status, ended) == (JobStatus.PENDING, False)


# -- read-only ---------------------------------------------------------------------------


def test_a_replica_takes_no_job_and_does_not_lose_any(own: Store):
    added = own.add(number=2)
    worker = own.worker()
    (one,) = worker.claim()
    before = contents(own)
    own.client.execute_command("REPLICAOF", "127.0.0.1", "1")

    with pytest.raises(redis.ResponseError, match=READ_ONLY):
        own.add()
    with pytest.raises(redis.ResponseError, match=READ_ONLY):
        worker.settle(one)
    with pytest.raises(redis.ResponseError, match=READ_ONLY):
        own.beat(worker)

    assert contents(own) == before
    own.client.execute_command("REPLICAOF", "NO", "ONE")
    exchange = worker.exchange([settlement(one)], want=5)
    assert exchange.refused == ()
    assert ids(exchange.jobs) == added[1:]


# -- scripts ---------------------------------------------------------------------------


def test_scripts_may_be_flushed_at_any_time(store: Store, look: Look):
    """Every script is sent whole when the server does not know it."""
    flush = store.client.script_flush
    flush()
    added = store.add(number=4)
    flush()
    worker = store.worker()
    flush()
    jobs = worker.claim(2)
    for call in (
        lambda: worker.settle(*jobs),
        lambda: store.beat(worker),
        lambda: store.cancel(added[2]),
        lambda: store.retry(added[2]),
        lambda: store.delete(added[3]),
        lambda: store.unpark(added[3]),
        lambda: store.pause("q"),
        lambda: store.resume("q"),
        lambda: store.status(added[0]),
        lambda: store.rescue(worker),
        lambda: store.purge("q"),
    ):
        flush()
        call()
    found = look()
    assert found.of(JobStatus.SUCCEEDED) == set(added[:2])


@pytest.mark.server
def test_the_asynchronous_client_does_the_same(store: Store, server: Server):
    async def talk() -> list[str]:
        client = aioredis.Redis(unix_socket_path=server.socket, protocol=2)
        try:
            await client.script_flush()
            added = [job(), job(delay_ms=60_000)]
            assert await aperform(client, enqueue(store.keys, added)) == []
            record = await aperform(client, lookup.job(store.keys, added[1].id))
            assert record is not None
            assert record.status is JobStatus.SCHEDULED
            await client.set(store.keys.attempts(added[0].id), "wrong type")
            record = await aperform(client, lookup.job(store.keys, added[0].id))
            assert record is not None
            assert record.attempts == ()
            await client.set(store.keys.queues, "wrong type")
            assert await aperform(client, inspection.queues(store.keys)) == []
            return await aperform(
                client,
                operations.delete_many(store.keys, [one.id for one in added]),
            )
        finally:
            await client.aclose()

    assert asyncio.run(talk()) == ["deleted", "deleted"]


# -- large calls -------------------------------------------------------------------------


def test_ten_thousand_jobs_in_one_call(store: Store):
    jobs = [job(priority=int(number % 10 == 0)) for number in range(10_000)]

    assert store.enqueue(*jobs) == ["new"] * 10_000
    assert store.enqueue(*jobs[:100]) == ["duplicate"] * 100

    (counts,) = store.do(inspection.counts(store.keys, ["q"]))
    assert counts.pending == 10_000
    assert store.tokens() == 8
    first = [one.id for one in jobs if one.priority]
    assert ids(store.worker().claim(1000)) == first


def test_five_thousand_settlements_in_one_call(store: Store, look: Look):
    store.add(number=5000)
    worker = store.worker()
    jobs = []
    while got := worker.claim(1000):
        jobs += got
    assert len(jobs) == 5000
    kinds = ["succeeded", "failed", "retry", "released", "parked"]

    exchange = worker.exchange(
        [settlement(one, kinds[number % 5]) for number, one in enumerate(jobs)]  # type: ignore[arg-type]
    )

    assert exchange.refused == ()
    assert worker.held == 0
    found = look()
    for status in ("succeeded", "failed", "scheduled", "pending", "parked"):
        assert len(found.of(JobStatus(status))) == 1000
    again = worker.claim(1000)
    assert ids(again) == [one.id for one in jobs[3::5]]


def test_people_do_much_at_once(store: Store, look: Look):
    added = store.add(number=900)

    assert store.cancel(*added) == ["cancelled"] * 900
    look()
    assert store.retry(*added) == ["pending"] * 900
    look()
    assert store.delete(*added) == ["deleted"] * 900
    assert look().status == {}


def test_a_large_body_and_result_pass(store: Store):
    body = '["f",["' + "x" * 2_000_000 + '"],{}]'
    (added,) = store.add(body=body)
    worker = store.worker()
    (claimed,) = worker.claim()
    assert claimed.body == body
    worker.settle(claimed, result='"' + "y" * 2_000_000 + '"')

    assert len(store.record(added).result or "") == 2_000_002
