"""A call whose answer is read later is the same call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from django_redisjobs.core.consumer import hand_back
from django_redisjobs.core.exceptions import LeaseLost
from django_redisjobs.core.flights import Flight
from django_redisjobs.core.records import JobStatus

from .places import Places
from .store import Store, ids, settlement

Look = Callable[[], Places]


@pytest.fixture
def single(client: redis.Redis) -> Iterator[redis.Redis]:
    """A client of its own with room for one connection: none may be left behind."""
    options: dict[str, Any] = dict(client.connection_pool.connection_kwargs)
    kind = client.connection_pool.connection_class
    pool = redis.BlockingConnectionPool(
        max_connections=1, timeout=1, connection_class=kind, **options
    )
    with redis.Redis(connection_pool=pool) as one:
        yield one
    pool.disconnect()


def test_what_is_claimed_ahead_is_what_would_have_been_claimed(
    store: Store, single: redis.Redis, look: Look
):
    wanted = store.add(number=3)
    worker = store.worker(client=single)
    consumer = worker.consumer
    (first,) = worker.claim()

    consumer.launch([settlement(first)], want=5)
    exchange = consumer.land()

    assert [job.id for job in exchange.jobs] == wanted[1:]
    assert store.record(first.id).status is JobStatus.SUCCEEDED
    assert worker.held == 2
    worker.settle(*exchange.jobs)
    assert look().claims == {}


def test_an_answer_that_nobody_reads_is_made_good(
    store: Store, single: redis.Redis, look: Look
):
    wanted = store.add(number=3)
    worker = store.worker(client=single)
    worker.consumer.launch([], want=2)

    worker.consumer.abandon()
    exchange = worker.exchange([], want=5)

    assert sorted(job.id for job in exchange.jobs) == sorted(wanted)
    worker.settle(*exchange.jobs)
    assert look().claims == {}


def test_scripts_flushed_under_way_are_sent_again(store: Store, single: redis.Redis):
    wanted = store.add(number=2)
    worker = store.worker(client=single)
    store.client.script_flush()

    worker.consumer.launch([], want=5)

    assert ids(worker.consumer.land().jobs) == wanted


def test_an_answer_that_never_comes_is_redis_pys_error(
    store: Store, single: redis.Redis, look: Look
):
    wanted = store.add(number=2)
    worker = store.worker(client=single)
    worker.consumer.launch([], want=1)
    single.connection_pool._connections[0].disconnect()

    with pytest.raises(redis.ConnectionError):
        worker.consumer.land()

    assert sorted(ids(worker.exchange([], want=5).jobs)) == sorted(wanted)
    assert len(look().claims) == 2


def test_a_lease_may_be_lost_under_way(store: Store, single: redis.Redis, look: Look):
    store.add()
    worker = store.worker(client=single)
    store.rescue(worker)

    worker.consumer.launch([], want=1)

    with pytest.raises(LeaseLost):
        worker.consumer.land()
    assert look().claims == {}


def test_what_others_hand_back_under_way_is_told(
    store: Store, single: redis.Redis, look: Look
):
    (wanted,) = store.add()
    worker = store.worker(client=single)
    worker.consumer.launch([], want=1)
    call = worker.consumer.call
    exchange = worker.consumer.land()

    tokens = [f"{worker.name}:{call}:{index}" for index in range(64)]
    assert store.do(hand_back(store.keys, worker.name, tokens)) == 1

    assert [job.token for job in exchange.jobs] == tokens[:1]
    assert worker.exchange([], want=0).dropped == {tokens[0]}
    assert look().of(JobStatus.PENDING) == {wanted}


def test_a_claim_that_comes_after_it_was_handed_back_claims_nothing(
    store: Store, single: redis.Redis, look: Look
):
    (wanted,) = store.add()
    worker = store.worker(client=single)
    call = worker.consumer.call + 1
    tokens = [f"{worker.name}:{call}:{index}" for index in range(64)]
    assert store.do(hand_back(store.keys, worker.name, tokens)) == 0

    worker.consumer.launch([], want=1)

    assert look().claims == {}
    # Who reads the answer then makes a claim of its own.
    (job,) = worker.consumer.land().jobs
    assert job.id == wanted
    assert job.token not in tokens


def test_a_client_without_connections_of_its_own_is_asked_at_once(store: Store):
    class Bare:
        def execute_command(self, *command: Any, **options: Any) -> Any:
            return store.client.execute_command(*command)

        def pipeline(self, transaction: bool = True) -> Any:
            return store.client.pipeline(transaction=transaction)

    flight = Flight(Bare(), ("EXISTS", "nothing"))

    assert flight.land() == 0
    flight.abandon()


def test_nothing_is_left_behind(single: redis.Redis):
    Flight(single, ("PING",)).abandon()
    flight = Flight(single, ("PING",))

    assert flight.land() == b"PONG"
    assert single.ping()
