"""A failover behind one address: what is open still leads to the old primary, which
refuses from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from django.db import transaction

from django_redisjobs import JobHandle, JobStatus, conf, connections
from django_redisjobs.connections.leaving import AGAIN_SECONDS
from django_redisjobs.core.flights import POOL_ARGUMENTS
from django_redisjobs.exceptions import EnqueueError
from django_redisjobs.worker.waiting import make_waiter
from tests.servers import Server

from .jobs import add, nap
from .load import Load
from .servers import MovingAddress, until

Handles = Sequence[JobHandle[Any]]
QUEUES = {
    "default": {"GROUP": "b"},
    "high": {"GROUP": "a"},
    "low": {"GROUP": "c"},
    "durable": {"GROUP": "d", "DURABLE": {"REPLICAS": 1, "TIMEOUT": "5s"}},
}


@pytest.fixture
def redisjobs(address: MovingAddress, use: Callable[..., Any]) -> dict[str, Any]:
    return use(address.url, QUEUES=QUEUES, LEASE=3)


def at_once() -> Handles:
    return [add.delay(1, 2)]


def in_bulk() -> Handles:
    return add.delay_many([(1, 2), (3, 4)])


def at_commit() -> Handles:
    with transaction.atomic():
        return [add.delay(1, 2), add.using(queue="low").delay(1, 2)]


def durably() -> Handles:
    return [add.using(queue="durable").delay(1, 2)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("enqueue", [at_once, in_bulk, at_commit, durably])
def test_who_enqueues_sees_nothing_of_it(
    address: MovingAddress, redisjobs: Any, enqueue: Callable[[], Handles]
) -> None:
    enqueue()

    address.fail_over()

    for handle in enqueue():
        key = conf.keys_for(handle.queue).job(handle.id)
        assert address.primary.client.exists(key)
        assert handle.status() is JobStatus.PENDING


@pytest.mark.parametrize("queue", ["default", "durable"])
def test_who_enqueues_on_an_event_loop_sees_nothing_of_it(
    address: MovingAddress, redisjobs: Any, queue: str
) -> None:
    async def enqueue() -> list[JobHandle[Any]]:
        chosen = add.using(queue=queue)
        # Each on a connection of its own.
        await asyncio.gather(*(chosen.adelay(1, 2) for _ in range(4)))
        await asyncio.to_thread(address.fail_over)
        return await asyncio.gather(*(chosen.adelay(1, 2) for _ in range(4)))

    for handle in asyncio.run(enqueue()):
        key = conf.keys_for(queue).job(handle.id)
        assert address.primary.client.exists(key)


def test_one_refusal_is_enough_for_all_connections(
    address: MovingAddress, redisjobs: Any
) -> None:
    def port(client: Any) -> int:
        return int(client.config_get("port")["port"])

    clients = [
        connections.client(),
        connections.worker_client(),
        connections.blocking_client(),
    ]
    before = address.primary.port
    assert [port(client) for client in clients] == [before] * 3
    waiter = make_waiter(clients[1], clients[2])
    key = conf.keys_for("default").wake("default")
    assert waiter.wait([key], 1, []) is None
    add.delay(1, 2)
    pool = clients[0].connection_pool
    taken = pool.get_connection(*POOL_ARGUMENTS)

    address.fail_over()
    # The old one still answers who only reads.
    assert port(clients[1]) == before
    add.delay(1, 2)

    assert [port(client) for client in clients] == [address.primary.port] * 3
    # Who was on its way meanwhile has its answer.
    taken.send_command("CONFIG", "GET", "port")
    assert taken.read_response()[1] == str(before).encode()
    pool.release(taken)
    assert port(clients[0]) == address.primary.port
    assert waiter.wait([key], 5, []) == (key, "1")
    waiter.close()


def test_a_replica_for_good_is_asked_twice_and_named(
    address: MovingAddress, use: Callable[..., Any]
) -> None:
    replica = address.replica
    use(f"redis://127.0.0.1:{replica.port}/0")

    def connected() -> int:
        return int(replica.client.info("stats")["total_connections_received"])

    before = connected()
    for _ in range(5):
        with pytest.raises(EnqueueError, match="let REDISJOBS") as caught:
            add.delay(1, 2)
        assert "was not enqueued" in str(caught.value)

    # Two for each, one on which the script came whole, and that of who looks.
    assert connected() - before <= 5 * 2 + 2


class Link:
    """A unix socket that leads to one of two servers."""

    def __init__(self) -> None:
        self.servers = [Server(), Server()]
        self._path = Path(self.servers[0].folder, "link")
        self._path.symlink_to(self.servers[0].socket)
        self.url = f"unix://{self._path}"

    def move(self) -> None:
        self._path.unlink()
        self._path.symlink_to(self.servers[1].socket)

    def has_moved(self, handle: JobHandle[Any]) -> bool:
        with self.servers[1].client() as client:
            return bool(client.exists(conf.keys_for("default").job(handle.id)))


@pytest.fixture
def link(use: Callable[..., Any]) -> Iterator[Link]:
    made = Link()
    use(made.url)
    yield made
    connections.forget()
    for server in made.servers:
        server.stop()


def test_a_unix_socket_may_lead_elsewhere(link: Link) -> None:
    add.delay(1, 2)
    with link.servers[0].demoted():
        link.move()

        assert link.has_moved(add.delay(3, 4))


def test_many_refusals_open_few_connections(link: Link) -> None:
    def try_once() -> JobHandle[int] | None:
        with suppress(EnqueueError):
            return add.delay(1, 2)
        return None

    with link.servers[0].demoted(), link.servers[0].client() as observer:

        def connected() -> int:
            return int(observer.info("stats")["total_connections_received"])

        before, began = connected(), monotonic()
        assert not any(try_once() for _ in range(100))
        departures = 1 + (monotonic() - began) / AGAIN_SECONDS

        # One for scripts by name, one on which they come whole.
        assert connected() - before <= 2 * (departures + 1)
        link.move()
        assert link.has_moved(until(try_once, "it is where the link leads now"))


@pytest.mark.slow
def test_workers_go_on(
    address: MovingAddress, redisjobs: dict[str, Any], start: Callable[..., Any]
) -> None:
    worker = start(redisjobs, "--processes", "2")
    assert add.delay(1, 2).result(timeout=60) == 3
    # For longer than its lease, which the other process would not respect.
    napping = nap.delay(5)
    until(lambda: napping.status() is JobStatus.RUNNING, "it runs")
    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(napping.result, timeout=60)

        address.fail_over()

        assert add.delay(3, 4).result(timeout=10) == 7
        assert heard.result() == 1
    assert worker.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_lost_under_load(
    address: MovingAddress, use: Callable[..., Any], tmp_path: Path
) -> None:
    load = Load.on(tmp_path, use(address.url, PREFIX="redisjobs"))
    try:
        for _ in range(2):
            load.start_worker("--processes", "2")
        load.wait_ready()

        with load.flowing():
            for _ in range(3):
                load.wait_progress(200)
                address.fail_over()
            load.wait_progress(200)

        # No enqueue has failed: its numbers would be missing.
        assert sorted(load.ids) == list(range(len(load.ids)))
        assert not load.verdict()
        assert load.history().reruns == 0
        print(load.figures())  # noqa: T201 - what the table in the docs is made of
    finally:
        load.end()
        print(load.log()[-6000:])  # noqa: T201
