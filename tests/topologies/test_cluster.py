"""The main job on a Cluster of three, also while slots move and nodes change."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.core.management import call_command

from django_redisjobs import conf, connections, get_queue
from django_redisjobs.connections import routing
from django_redisjobs.connections.deadlines import DeadlineClient
from django_redisjobs.core import lookup, operations
from django_redisjobs.core.consumer import Consumer
from django_redisjobs.core.producer import enqueue
from django_redisjobs.core.records import DEFAULT_KEEP, JobStatus, NewJob, new_id
from django_redisjobs.core.scripts import aperform, perform
from django_redisjobs.core.settlements import Settlement
from django_redisjobs.worker.bells import Bell
from django_redisjobs.worker.waiting import ClusterWaiter, make_waiter

from .jobs import add, double, kill_once, nap
from .servers import Cluster, until


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    started = Cluster()
    yield started
    started.stop()


@pytest.fixture
def redisjobs(cluster: Cluster, use: Callable[..., Any]) -> dict[str, Any]:
    return use(cluster.url)


def consumer(queue: str) -> Consumer:
    made = Consumer(
        connections.worker_client(),
        conf.keys_for(queue),
        new_id(),
        [queue],
        lease_ms=30_000,
        keep=DEFAULT_KEEP,
        max_crashes=3,
    )
    made.register({"name": "test"})
    return made


def put(queue: str) -> str:
    job_id = new_id()
    job = NewJob(job_id, queue, '["tests.topologies.jobs.add",[1,2],{}]')
    assert perform(connections.client(), enqueue(conf.keys_for(queue), [job])) == []
    return job_id


def status(queue: str, job_id: str) -> JobStatus | None:
    return perform(connections.client(), lookup.status(conf.keys_for(queue), job_id))


def test_groups_are_on_different_nodes(cluster: Cluster, redisjobs: Any) -> None:
    owners = {cluster.owner(conf.keys_for(name).base) for name in redisjobs["QUEUES"]}

    assert len(owners) == 3


def test_the_main_job(redisjobs: Any, start: Callable[..., Any]) -> None:
    sums = [add.delay(number, 1) for number in range(20)]
    doubled = double.delay_many([(number,) for number in range(20)])
    urgent = add.using(queue="high").delay(20, 22)
    killer = kill_once.delay()
    worker = start(redisjobs, "--processes", "2")

    assert urgent.result(timeout=60) == 42
    assert [each.result(timeout=60) for each in sums] == list(range(1, 21))
    assert [each.result(timeout=60) for each in doubled] == list(range(0, 40, 2))
    assert killer.result(timeout=60) == 2
    assert killer.info().crashes == 1
    # It sleeps on three nodes by now; a job on any of them wakes it.
    for queue in ("low", "default", "high"):
        assert add.using(queue=queue).delay(1, 2).result(timeout=10) == 3
    assert [get_queue(name).counts().succeeded for name in ("high", "low")] == [2, 21]
    assert asyncio.run(_by_asyncio()) == (5, 23)
    assert worker.stop() == 0
    call_command("redisjobs", "doctor")
    call_command("redisjobs", "stats", "--json")


async def _by_asyncio() -> tuple[int, int]:
    handle = await add.adelay(2, 3)
    result = await handle.aresult(timeout=10)
    counts = await get_queue("default").acounts()
    return result, counts.succeeded


def test_a_moved_slot_is_followed(cluster: Cluster, redisjobs: Any) -> None:
    working = consumer("default")
    put("default")
    base = conf.keys_for("default").base
    before = cluster.owner(base)
    target = next(node for node in cluster.nodes if node is not before)

    cluster.begin_move(base, target).finish()
    put("default")
    first, second = working.exchange([], want=2).jobs
    settled = [Settlement("succeeded", each, "add") for each in (first, second)]
    working.exchange(settled, want=0)

    assert status("default", first.id) is JobStatus.SUCCEEDED
    assert cluster.owner(base) is target
    cluster.begin_move(base, before).finish()
    assert status("default", second.id) is JobStatus.SUCCEEDED


@pytest.mark.parametrize("queue", ["high", "default", "low"])
def test_what_is_claimed_ahead_comes_from_the_node_of_its_group(
    redisjobs: Any, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [put(queue) for _ in range(3)]
    working = consumer(queue)
    first = working.exchange([], want=1, ahead=lambda _came: 1)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it was asked once more")

    with monkeypatch.context() as patched:
        patched.setattr(connections.worker_client(), "execute_command", refuse)
        second = working.land()

    third = working.exchange([], want=1)
    claimed = [*first.jobs, *second.jobs, *third.jobs]
    assert [each.id for each in claimed] == wanted
    working.exchange([Settlement("released", each) for each in claimed], want=0)


def test_what_is_claimed_ahead_follows_a_moved_slot(
    cluster: Cluster, redisjobs: Any
) -> None:
    working = consumer("default")
    wanted = [put("default") for _ in range(2)]
    base = conf.keys_for("default").base
    before = cluster.owner(base)
    target = next(node for node in cluster.nodes if node is not before)

    def ahead(_came: int) -> int:
        cluster.begin_move(base, target).finish()
        return 1

    first = working.exchange([], want=1, ahead=ahead)
    second = working.land()

    claimed = [*first.jobs, *second.jobs]
    assert [each.id for each in claimed] == wanted
    assert len(working._held) == 2
    working.exchange([Settlement("released", each) for each in claimed], want=0)
    cluster.begin_move(base, before).finish()


def test_while_a_slot_moves_nothing_runs_on_half_the_data(
    cluster: Cluster, redisjobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "PAUSES", (0.01,))
    working = consumer("default")
    jobs = [put("default") for _ in range(3)]
    base = conf.keys_for("default").base
    before = cluster.owner(base)
    target = next(node for node in cluster.nodes if node is not before)
    move = cluster.begin_move(base, target)
    move.move_keys(3)

    for refused in (
        lambda: working.exchange([], want=3),
        lambda: put("default"),
        lambda: perform(
            connections.client(),
            operations.cancel_many(conf.keys_for("default"), jobs, keep=DEFAULT_KEEP),
        ),
    ):
        with pytest.raises(redis.ResponseError, match=r"(?i)multiple keys|TRYAGAIN"):
            refused()
    # Reads of single keys go where each key is.
    for each in jobs:
        (found,) = perform(
            connections.client(), lookup.jobs(conf.keys_for("default"), [each])
        )
        assert found.id == each
    move.finish()
    claimed = working.exchange([], want=9).jobs
    assert [each.id for each in claimed] == jobs

    working.exchange([Settlement("released", each) for each in claimed], want=0)
    cluster.begin_move(base, before).finish()


def test_what_a_move_delays_is_done_when_it_is_over(
    cluster: Cluster, redisjobs: Any
) -> None:
    """A call waits a moment for the end of a move."""
    base = conf.keys_for("default").base
    before = cluster.owner(base)
    target = next(node for node in cluster.nodes if node is not before)
    put("default")
    move = cluster.begin_move(base, target)
    timer = threading.Timer(0.3, move.finish)
    timer.start()

    assert status("default", put("default")) is JobStatus.PENDING
    assert asyncio.run(_aput("default")) == []
    timer.join()
    cluster.begin_move(base, before).finish()


async def _aput(queue: str) -> list[int]:
    job = NewJob(new_id(), queue, '["tests.topologies.jobs.add",[1,2],{}]')
    return await aperform(
        connections.async_client(), enqueue(conf.keys_for(queue), [job])
    )


def test_scripts_are_sent_again_to_a_node_that_lost_them(
    cluster: Cluster, redisjobs: Any
) -> None:
    for node in cluster.nodes:
        node.client.script_flush()

    assert status("low", put("low")) is JobStatus.PENDING


def test_a_node_that_is_down_is_told_and_found_again(
    cluster: Cluster, redisjobs: Any
) -> None:
    put("high")
    node = cluster.owner(conf.keys_for("high").base)
    node.kill()
    try:
        with pytest.raises(redis.RedisError):
            put("high")
        put("low")
    finally:
        node.start()
    # It takes no writes for its first two seconds.
    until(lambda: cluster.is_ok(node), "the node is back")

    put("high")
    assert asyncio.run(_aput("high")) == []


def test_threads_share_a_client_also_while_a_slot_moves(
    cluster: Cluster, redisjobs: Any
) -> None:
    base = conf.keys_for("default").base
    before = cluster.owner(base)
    target = next(node for node in cluster.nodes if node is not before)
    put("default")
    begun = threading.Barrier(9)
    stored: list[str] = []

    def enqueue_some() -> None:
        begun.wait()
        stored.extend(put("default") for _ in range(25))

    threads = [threading.Thread(target=enqueue_some) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait()
    cluster.begin_move(base, target).finish()
    for thread in threads:
        thread.join()

    assert len(set(stored)) == 200
    assert get_queue("default").depth() == 201
    cluster.begin_move(base, before).finish()


def test_a_forked_child_has_connections_of_its_own(redisjobs: Any) -> None:
    connections.forget()
    client: Any = connections.client()
    key = conf.keys_for("low").base
    ours = client.node_of(key)
    id_ = ours.client_id()

    pid = os.fork()
    if not pid:
        code = 1
        try:
            theirs: Any = connections.client()
            code = 0 if theirs.node_of(key).client_id() != id_ else 2
        finally:
            os._exit(code)

    assert os.waitpid(pid, 0)[1] == 0
    assert ours.client_id() == id_


def test_a_waiter_hears_any_node_and_follows_moves(
    cluster: Cluster, redisjobs: Any
) -> None:
    waiter = make_waiter(connections.worker_client(), connections.blocking_client())
    assert isinstance(waiter, ClusterWaiter)
    keys = [conf.keys_for(name).wake(name) for name in redisjobs["QUEUES"]]
    put("low")
    put("high")

    heard = {waiter.wait(keys, 5, []), waiter.wait(keys, 5, [])}
    assert heard == {(keys[0], "1"), (keys[2], "1")}

    bell = Bell()
    bell.ring()
    assert waiter.wait(keys, 5, [bell.fileno()]) is None

    base = conf.keys_for("low").base
    before = cluster.owner(base)
    target = next(node for node in cluster.nodes if node is not before)
    cluster.begin_move(base, target).finish()
    assert waiter.wait(keys, 1, []) is None
    put("low")
    assert waiter.wait(keys, 5, []) == (keys[2], "1")
    cluster.begin_move(base, before).finish()
    waiter.close()


def test_who_waits_for_a_while_follows_moves(cluster: Cluster, redisjobs: Any) -> None:
    key = conf.keys_for("low").done("x")
    client = connections.blocking_client()
    before = cluster.owner(key)
    target = next(node for node in cluster.nodes if node is not before)

    def pop(seconds: float) -> Any:
        until = DeadlineClient(client, time.monotonic() + seconds)
        return until.execute_command("BLPOP", key, 5)

    assert pop(0.05) is None
    cluster.begin_move(key, target).finish()
    # The node of before says where the list is now.
    assert pop(5) is None
    client.rpush(key, "here")
    assert pop(5) == [key.encode(), b"here"]
    cluster.begin_move(key, before).finish()


def test_users_get_the_whole_cluster(cluster: Cluster, redisjobs: Any) -> None:
    queues = ("high", "low")
    for name in queues:
        put(name)
    whole: Any = connections.get_connection()

    assert isinstance(whole, redis.RedisCluster)
    assert whole is connections.get_connection("low")
    found = set(whole.scan_iter(match=f"{redisjobs['PREFIX']}:*pending:*"))
    assert found == {conf.keys_for(name).pending(name).encode() for name in queues}
    assert connections.describe() == cluster.url


@pytest.mark.slow
def test_a_node_that_hangs_takes_no_lease_of_another_nodes_groups(
    cluster: Cluster, use: Callable[..., Any], start: Callable[..., Any]
) -> None:
    queues = {f"q{number}": {"GROUP": f"g{number}"} for number in range(24)}
    use(cluster.url, QUEUES=queues)
    nodes = {queue: cluster.owner(conf.keys_for(queue).base) for queue in queues}
    node, other = nodes["q0"], next(q for q in queues if nodes[q] is not nodes["q0"])
    hung = [queue for queue in queues if nodes[queue] is node][:4]
    # To ask the four that hang one after the other takes as long as a lease.
    redisjobs = use(cluster.url, QUEUES=queues, LEASE=8, OPTIONS={"socket_timeout": 2})
    seconds = 20.0
    handle = nap.using(queue=other).delay(seconds)
    start(redisjobs, *hung, other, "--processes", "1", "--threads", "2")
    until(lambda: handle.status() is JobStatus.RUNNING, "it runs")
    start(redisjobs, other, "--processes", "1")

    node.process.send_signal(signal.SIGSTOP)
    try:
        assert handle.result(timeout=60) == 1
    finally:
        node.process.send_signal(signal.SIGCONT)
        until(lambda: all(map(cluster.is_ok, cluster.nodes)), "the node is back")


def test_a_failover_is_followed(
    cluster: Cluster, redisjobs: Any, start: Callable[..., Any]
) -> None:
    """The last one: the Cluster has another primary from here on."""
    before = cluster.owner(conf.keys_for("default").base)
    replica = cluster.add_replica(before)
    worker = start(redisjobs, "--processes", "1")
    assert add.delay(1, 2).result(timeout=60) == 3

    cluster.fail_over_to(replica)
    assert add.delay(3, 4).result(timeout=60) == 7

    before.kill()
    assert add.delay(5, 6).result(timeout=60) == 11
    assert asyncio.run(_by_asyncio())[0] == 5
    assert worker.stop() == 0
