"""DURABLE with replicas that confirm, and with some that do not."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_redisjobs import JobStatus, conf, get_queue
from django_redisjobs.exceptions import NotDurable
from django_redisjobs.surroundings import server_problems

from .jobs import add
from .servers import HOST, Cluster, Node, until

AT_ONCE = ("--repl-diskless-sync-delay", "0", "--save", "")
ONE = {"REPLICAS": 1, "TIMEOUT": "5s"}


@pytest.fixture
def pair() -> Iterator[tuple[Node, Node]]:
    primary = Node(*AT_ONCE, "--appendonly", "yes")
    replica = Node(
        *AT_ONCE, "--appendonly", "yes", "--replicaof", HOST, str(primary.port)
    )
    until(
        lambda: primary.client.info("replication")["slave0"]["state"] == "online",
        "the replica has what its primary has",
    )
    yield primary, replica
    replica.process.send_signal(signal.SIGCONT)
    replica.stop()
    primary.stop()


def test_a_replica_confirms(
    pair: tuple[Node, Node], use: Callable[..., Any], start: Callable[..., Any]
) -> None:
    primary, replica = pair
    redisjobs = use(f"redis://{HOST}:{primary.port}/0", DURABLE=ONE)

    handle = add.delay(1, 2)

    assert replica.client.exists(f"{redisjobs['PREFIX']}:{{b}}:job:{handle.id}")
    assert asyncio.run(_enqueue()).status() is JobStatus.PENDING
    assert server_problems() == []
    worker = start(redisjobs, "--processes", "1")
    assert handle.result(timeout=60) == 3
    assert worker.stop() == 0


async def _enqueue() -> Any:
    return await add.adelay(3, 4)


def test_a_frozen_replica_does_not(
    pair: tuple[Node, Node], use: Callable[..., Any]
) -> None:
    primary, replica = pair
    url = f"redis://{HOST}:{primary.port}/0"
    use(url, DURABLE={"REPLICAS": 1, "TIMEOUT": 0.05})
    replica.process.send_signal(signal.SIGSTOP)

    with pytest.raises(NotDurable, match="0 of 1 replicas"):
        add.delay(1, 2)

    replica.process.send_signal(signal.SIGCONT)
    use(url, DURABLE=ONE)
    assert add.delay(1, 2).status() is JobStatus.PENDING


def test_the_disks_of_both(pair: tuple[Node, Node], use: Callable[..., Any]) -> None:
    primary, _ = pair
    version = primary.client.info("server")["redis_version"].split(".")
    if (int(version[0]), int(version[1])) < (7, 2):
        pytest.skip("Redis before 7.2 cannot wait for disks")
    url = f"redis://{HOST}:{primary.port}/0"
    use(url, DURABLE={"DISK": True, "REPLICAS": 1, "TIMEOUT": "5s"})

    assert add.delay(1, 2).status() is JobStatus.PENDING


def test_in_a_cluster_the_node_that_has_the_job_is_waited_for(
    cluster: Cluster, use: Callable[..., Any]
) -> None:
    use(cluster.url, DURABLE={"REPLICAS": 1, "TIMEOUT": "1s"})
    base = conf.keys_for("default").base
    before = cluster.owner(base)
    cluster.add_replica(before)

    assert add.delay(1, 2).status() is JobStatus.PENDING
    with pytest.raises(NotDurable, match="0 of 1 replicas"):
        add.using(queue="high").delay(1, 2)
    assert "redisjobs.W009" in [each.id for each in server_problems()]

    target = cluster.owner(conf.keys_for("high").base)
    cluster.begin_move(base, target).finish()
    # The old one would say that it has a replica, which proves nothing any more.
    with pytest.raises(NotDurable, match="0 of 1 replicas"):
        add.delay(1, 2)
    with pytest.raises(NotDurable, match="0 of 1 replicas"):
        asyncio.run(_enqueue())
    assert get_queue("default").depth() == 3
