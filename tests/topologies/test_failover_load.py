"""Servers change under a load: nothing is lost, and every rerun is explained.

Replication does not wait. So the producer has each enqueue wait for a replica, and what
a worker said last before a primary died may be forgotten: then the job runs again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from django_redisjobs import conf

from .load import Load
from .servers import Cluster, Node, SentinelPair, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DURABLE = {"REPLICAS": 1, "TIMEOUT": "2s"}
QUEUE = "default"
"""Whose server changes."""


@pytest.fixture
def load_on(tmp_path: Path, use: Callable[..., Any]) -> Iterator[Callable[..., Load]]:
    """``load_on(url)``: two workers of two processes each, and nothing to do yet."""
    begun: list[Load] = []

    def begin(url: str, **more: Any) -> Load:
        # The prefix that the workers' settings have.
        load = Load.on(tmp_path, use(url, PREFIX="redisjobs", **more))
        begun.append(load)
        for _ in range(2):
            load.start_worker("--processes", "2")
        load.wait_ready()
        return load

    yield begin
    for load in begun:
        load.end()
        print(load.log()[-6000:])  # noqa: T201


def die(
    load: Load,
    primary: Node,
    replica: Node,
    wait_replaced: Callable[[], object],
    *,
    behind: bool,
) -> None:
    """A primary dies in the midst of work; its replica takes over, and it comes back."""
    with load.flowing():
        load.wait_progress(200)
        with load.cut_off(*load.workers, forgets=True):
            if behind:
                fall_behind(load, primary, replica)
            died = time.monotonic()
            primary.kill()
            replica.process.send_signal(signal.SIGCONT)
            wait_replaced()
            replaced = time.monotonic()
        # Each enqueue waits in vain for a replica by now, but is there.
        load.wait_progress(20)
        rejoin(primary, replica)
        load.wait_progress(200)

    assert not load.verdict()
    assert load.history().reruns or not behind
    print(  # noqa: T201 - what the table in the docs is made of
        f"{load.figures()}; replaced after {replaced - died:.1f} s, "
        f"work again after {load.next_end(replaced, QUEUE) - died:.1f} s"
    )


def fall_behind(load: Load, primary: Node, replica: Node) -> None:
    """The replica hears nothing of the end of some jobs that it has."""
    replica.process.send_signal(signal.SIGSTOP)
    primary.client.execute_command("CLIENT", "KILL", "TYPE", "replica")
    load.wait_progress(50)


def rejoin(died: Node, successor: Node) -> None:
    """Started again, it becomes the replica of its successor."""
    died.start()
    until(lambda: has_replica(successor), "who died follows its successor")


def has_replica(node: Node) -> bool:
    return bool(node.client.info("replication")["connected_slaves"])


@pytest.mark.parametrize("behind", [False, True])
def test_sentinels_replace_a_primary_that_dies(
    pair: SentinelPair, load_on: Callable[..., Load], behind: bool
) -> None:
    load = load_on(pair.url, DURABLE=DURABLE)
    primary, replica = pair.data

    die(load, primary, replica, lambda: pair.wait_for_other(primary), behind=behind)


@pytest.mark.parametrize("behind", [False, True])
def test_a_primary_of_a_cluster_dies(
    cluster: Cluster, load_on: Callable[..., Load], behind: bool
) -> None:
    primaries = list(cluster.nodes)
    replicas = {primary: cluster.add_replica(primary) for primary in primaries}
    load = load_on(cluster.url, DURABLE=DURABLE)
    base = conf.keys_for(QUEUE).base
    primary = cluster.owner(base)
    replica = replicas[primary]

    def wait_replaced() -> None:
        until(lambda: cluster.serves(replica, base), "the replica takes over")

    die(load, primary, replica, wait_replaced, behind=behind)


def test_a_slot_moves_while_jobs_flow(
    cluster: Cluster, load_on: Callable[..., Load]
) -> None:
    """There and back, a few keys at a time. Nobody dies, so nothing runs again."""
    load = load_on(cluster.url)
    base = conf.keys_for(QUEUE).base
    home = cluster.owner(base)
    away = next(node for node in cluster.nodes if node is not home)

    with load.flowing():
        for target in (away, home):
            load.wait_progress(200)
            move = cluster.begin_move(base, target)
            while move.move_keys(50):
                load.pause(0.01)
            move.finish()
            assert cluster.owner(base) is target
        load.wait_progress(200)

    assert not load.verdict()
    print(load.figures())  # noqa: T201 - what the table in the docs is made of
