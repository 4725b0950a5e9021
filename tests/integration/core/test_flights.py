"""A call whose answer is read later is the same call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
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
    wanted = store.add(number=4)
    worker = store.worker(client=single)
    consumer = worker.consumer

    first = consumer.exchange([], want=1, ahead=lambda _came: 2)
    second = consumer.land([settlement(first.jobs[0])], lambda _came: 5)
    third = consumer.land()

    assert [ids(each.jobs) for each in (first, second, third)] == [
        wanted[:1],
        wanted[1:3],
        wanted[3:],
    ]
    assert [each.next_call for each in (first, second, third)] == [2, 3, 0]
    assert [job.token for job in second.jobs] == [
        f"{worker.name}:2:0",
        f"{worker.name}:2:1",
    ]
    # Both sides agreed all the while: no step had to be repeated.
    assert third.jobs[0].token == f"{worker.name}:3:0"
    assert store.record(wanted[0]).status is JobStatus.SUCCEEDED
    assert worker.held == 3
    worker.settle(*second.jobs, *third.jobs)
    assert look().claims == {}


class Elsewhere(redis.Redis):
    """Has each command served by another client, as that of a Cluster does."""

    node: redis.Redis

    def client_for(self, _command: object) -> redis.Redis:
        return self.node


def test_the_connection_to_a_node_goes_back_to_the_pool_of_that_node(
    store: Store, single: redis.Redis
):
    wanted = store.add(number=4)
    client = Elsewhere.from_pool(store.client.connection_pool)
    client.node = single
    consumer = store.worker(client=client).consumer

    first = consumer.exchange([], want=1, ahead=lambda _came: 1)
    claimed = [first, *(consumer.land(ahead=lambda _came: 1) for _ in range(3))]

    assert [ids(each.jobs) for each in claimed] == [[each] for each in wanted]
    assert not consumer.land().jobs


def test_nothing_is_claimed_ahead_of_less_than_was_wanted(
    store: Store, single: redis.Redis, look: Look
):
    store.add(number=2)
    worker = store.worker(client=single)

    def ahead(_came: int) -> int:
        raise AssertionError("there is no more")

    exchange = worker.consumer.exchange([], want=3, ahead=ahead)
    worker.exchange([], want=0)

    assert (len(exchange.jobs), exchange.next_call) == (2, 0)
    assert worker.consumer.exchange([], want=0, ahead=ahead).next_call == 0
    assert len(look().claims) == 2


def test_ahead_says_how_many(store: Store, single: redis.Redis):
    store.add(number=5)
    worker = store.worker(client=single)
    asked: list[int] = []

    def ahead(came: int) -> int:
        asked.append(came)
        return 0

    exchange = worker.consumer.exchange([], want=3, ahead=ahead)

    assert (asked, exchange.next_call) == ([3], 0)
    assert len(worker.claim(want=5)) == 2


def test_who_finds_a_difference_goes_no_further(
    store: Store, single: redis.Redis, look: Look
):
    wanted = store.add(number=3)
    worker = store.worker(client=single)
    (first,) = worker.claim()
    store.do(hand_back(store.keys, worker.name, [first.token]))

    exchange = worker.consumer.exchange([], want=1, ahead=lambda _came: 5)

    assert exchange.dropped == {first.token}
    assert (ids(exchange.jobs), exchange.next_call) == ([wanted[0]], 0)
    assert len(look().claims) == 1


def test_what_cannot_be_sent_ahead_is_met_on_landing(
    store: Store, single: redis.Redis, look: Look, monkeypatch: pytest.MonkeyPatch
):
    wanted = store.add(number=3)
    worker = store.worker(client=single)

    def away(*_: Any) -> None:
        raise redis.ConnectionError("away")

    def ahead(_came: int) -> int:
        monkeypatch.setattr(single.connection_pool, "get_connection", away)
        return 1

    exchange = worker.consumer.exchange([], want=1, ahead=ahead)
    with pytest.raises(redis.ConnectionError):
        worker.consumer.land()

    assert ids(exchange.jobs) == wanted[:1]
    assert exchange.next_call
    assert len(look().claims) == 1


def test_an_answer_that_nobody_reads_is_made_good(
    store: Store, single: redis.Redis, look: Look
):
    wanted = store.add(number=3)
    worker = store.worker(client=single)
    worker.launch(want=2)

    worker.consumer.abandon()
    exchange = worker.exchange([], want=5)

    assert sorted(job.id for job in exchange.jobs) == sorted(wanted)
    worker.settle(*exchange.jobs)
    assert look().claims == {}


def test_scripts_flushed_under_way_are_sent_again(store: Store, single: redis.Redis):
    wanted = store.add(number=2)
    worker = store.worker(client=single)
    store.client.script_flush()

    worker.launch(want=5)

    assert ids(worker.consumer.land().jobs) == wanted


def test_an_answer_that_never_comes_is_redis_pys_error(
    store: Store, single: redis.Redis, look: Look
):
    wanted = store.add(number=2)
    worker = store.worker(client=single)
    worker.launch(want=1)
    single.connection_pool._connections[0].disconnect()

    with pytest.raises(redis.ConnectionError):
        worker.consumer.land()

    assert sorted(ids(worker.exchange([], want=5).jobs)) == sorted(wanted)
    assert len(look().claims) == 2


def test_a_lease_may_be_lost_under_way(store: Store, single: redis.Redis, look: Look):
    store.add()
    worker = store.worker(client=single)
    store.rescue(worker)

    worker.launch(want=1)

    with pytest.raises(LeaseLost):
        worker.consumer.land()
    assert look().claims == {}


def test_what_others_hand_back_under_way_is_told(
    store: Store, single: redis.Redis, look: Look
):
    wanted = store.add(number=2)
    worker = store.worker(client=single)
    call = worker.consumer.exchange([], want=1, ahead=lambda _came: 1).next_call
    exchange = worker.consumer.land()

    tokens = [f"{worker.name}:{call}:{index}" for index in range(64)]
    assert store.do(hand_back(store.keys, worker.name, tokens)) == 1

    assert [job.token for job in exchange.jobs] == tokens[:1]
    assert worker.exchange([], want=0).dropped == {tokens[0]}
    assert look().of(JobStatus.PENDING) == {wanted[1]}


def test_a_claim_that_comes_after_it_was_handed_back_claims_nothing(
    store: Store, single: redis.Redis, look: Look
):
    wanted = store.add(number=2)
    worker = store.worker(client=single)
    tokens = [f"{worker.name}:2:{index}" for index in range(64)]

    def ahead(_came: int) -> int:
        assert store.do(hand_back(store.keys, worker.name, tokens)) == 0
        return 1

    assert worker.consumer.exchange([], want=1, ahead=ahead).next_call == 2

    assert len(look().claims) == 1
    # Who reads the answer then makes a claim of its own.
    (job,) = worker.consumer.land().jobs
    assert job.id == wanted[1]
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


def test_its_time_is_that_when_it_was_sent(store: Store, single: redis.Redis):
    store.add(number=2)
    consumer = store.worker(client=single).consumer

    first = consumer.exchange([], want=1, ahead=lambda _came: 1)
    sent_by_now = monotonic()
    second = consumer.land()

    assert first.asked_at < second.asked_at < sent_by_now


def test_what_is_not_sent_is_not_remembered_as_settled(
    store: Store, single: redis.Redis
):
    store.add(number=2)
    consumer = store.worker(client=single).consumer
    (job,) = consumer.exchange([], want=1, ahead=lambda _came: 5).jobs

    exchange = consumer.land([settlement(job)], lambda _came: 5)

    assert exchange.next_call == 0
    assert len(consumer._settled) == 0
    consumer.exchange([settlement(job)], want=0)
    assert len(consumer._settled) == 1


def test_nothing_is_left_behind(single: redis.Redis):
    Flight(single, ("PING",)).abandon()
    flight = Flight(single, ("PING",))

    assert flight.land() == b"PONG"
    assert single.ping()


def test_what_another_call_has_taken_over_is_claimed_once(
    store: Store, client: redis.Redis, look: Look
):
    """As when somebody settles between the end of a block and what lies behind it."""
    (wanted,) = store.add()
    worker = store.worker()
    worker.launch(want=1)
    until_claimed = monotonic() + 10
    while not look().claims and monotonic() < until_claimed:
        pass

    other = worker.exchange([])
    landed = worker.consumer.land()

    (job,) = other.jobs
    assert (job.id, job.token) == (wanted, f"{worker.name}:1:0")
    assert landed.jobs == []
    assert worker.held == 1
    worker.settle(job)
    assert store.record(wanted).status is JobStatus.SUCCEEDED
