from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.test import override_settings

from django_redisjobs import Worker, connections
from django_redisjobs.connections.sharing import SharedPool, SharedPrimaryPool
from django_redisjobs.exceptions import (
    ConfigurationError,
    EnqueueError,
    NotDurable,
    ResultTimeout,
    UnknownQueue,
)
from tests.integration.worker.conftest import until
from tests.integration.worker.jobs import add
from tests.servers import Server

SYNC = [connections.client, connections.blocking_client, connections.worker_client]
ASYNC = [
    connections.async_client,
    connections.async_blocking_client,
    connections.async_durable_client,
]


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of something that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def clients_of(client: redis.Redis) -> int:
    return len(client.client_list())


@pytest.mark.parametrize("make", SYNC)
def test_a_client_is_made_once_and_answers(redisjobs: Any, make: Any) -> None:
    assert make() is make()
    assert make().ping() is True
    assert isinstance(make().echo("a"), bytes)


def test_each_use_has_a_pool_of_its_own(redisjobs: Any) -> None:
    assert len({id(make().connection_pool) for make in SYNC}) == 3


@pytest.mark.parametrize("make", ASYNC)
def test_an_event_loop_has_one_client_and_closes_it(
    redisjobs: Any, client: redis.Redis, make: Any
) -> None:
    async def use() -> object:
        assert make() is make()
        await asyncio.gather(*(make().ping() for _ in range(5)))
        return make()

    before = clients_of(client)
    first, second = asyncio.run(use()), asyncio.run(use())
    third = async_to_sync(use)()
    gc.collect()

    assert len({id(first), id(second), id(third)}) == 3
    assert clients_of(client) == before


def test_clients_of_ended_loops_are_not_kept(redisjobs: Any) -> None:
    async def use() -> None:
        await connections.async_client().ping()

    for _ in range(5):
        asyncio.run(use())

    assert len(connections._opened.of_loops) == 1


def named(client: redis.Redis, name: str) -> int:
    """How many connections of that name the server has."""
    return sum(each["name"] == name for each in client.client_list())


@pytest.mark.parametrize(("options", "most"), [({}, 50), ({"max_connections": 3}, 3)])
def test_the_tasks_of_a_loop_share_connections(
    redisjobs: Any, client: redis.Redis, options: Any, most: int
) -> None:
    async def use() -> int:
        asked = [connections.async_client().echo(str(each)) for each in range(400)]
        replies = await asyncio.gather(*asked)
        assert replies == [str(each).encode() for each in range(400)]
        return named(client, "shared")

    chosen = {**redisjobs, "OPTIONS": {"client_name": "shared", **options}}
    with override_settings(REDISJOBS=chosen):
        assert asyncio.run(use()) == most


@pytest.mark.parametrize("scheme", ["redis", "sentinel", "cluster"])
def test_so_they_do_with_any_kind_of_server(scheme: str) -> None:
    async def use() -> None:
        for make in ASYNC:
            pool: Any = make().connection_pool
            assert isinstance(pool, SharedPool | SharedPrimaryPool)

    path = "/shop" if scheme == "sentinel" else ""
    with override_settings(REDISJOBS={"URL": f"{scheme}://127.0.0.1:1{path}"}):
        asyncio.run(use())


def test_who_waits_for_a_connection_in_vain_is_told_so(redisjobs: Any) -> None:
    async def use() -> None:
        async with connections.async_client().client() as single:
            assert await single.ping()
            with pytest.raises(EnqueueError, match=r"not enqueued.*max_connections"):
                await add.adelay(1, 2)
            waiting = asyncio.create_task(_ping())
            await asyncio.sleep(0)
            waiting.cancel()

        # Neither who gave up nor who was cancelled has taken a place along.
        assert await connections.async_client().ping()
        assert await connections.async_client().ping()

    options = {"max_connections": 1, "socket_timeout": 0.1}
    with override_settings(REDISJOBS={**redisjobs, "OPTIONS": options}):
        asyncio.run(use())


def test_what_cannot_connect_takes_no_place() -> None:
    async def use() -> None:
        for _ in range(3):
            with pytest.raises(redis.ConnectionError) as caught:
                await connections.async_client().ping()
            assert not isinstance(caught.value, connections.NoneFree)

    url = f"redis://127.0.0.1:{_free_port()}/0"
    options = {"max_connections": 1, "socket_timeout": 0.1}
    with override_settings(REDISJOBS={"URL": url, "OPTIONS": options}):
        asyncio.run(use())


def test_callers_that_wait_for_results_keep_no_calls_waiting(
    redisjobs: Any, prefix: str
) -> None:
    async def use() -> None:
        key = f"{prefix}:list"
        waiting = [
            asyncio.create_task(connections.async_blocking_client().blpop([key], 15))
            for _ in range(60)
        ]
        assert await connections.async_client().rpush(key, *range(60))
        assert len(await asyncio.gather(*waiting)) == 60

    asyncio.run(use())


@pytest.mark.parametrize(("query", "most"), [("", 50), ("max_connections=3", 3)])
def test_those_who_wait_for_results_share_connections_too(
    redisjobs: Any, client: redis.Redis, query: str, most: int
) -> None:
    async def use() -> int:
        handles = await add.adelay_many([(each, 1) for each in range(120)])
        results = asyncio.gather(*(handle.aresult(timeout=60) for handle in handles))
        # So many for short calls come first; then some wait in Redis.
        await asyncio.to_thread(until, lambda: named(client, "shared") > most)
        with pytest.raises(ResultTimeout):
            await handles[0].aresult(timeout=0.3)
        connected = named(client, "shared")
        burst = Worker(processes=0, burst=True, verbosity=0)
        await asyncio.to_thread(burst.run)
        assert await results == list(range(1, 121))
        return connected

    mark = "&" if "?" in redisjobs["URL"] else "?"
    url = f"{redisjobs['URL']}{mark}client_name=shared&{query}"
    with override_settings(REDISJOBS={**redisjobs, "URL": url}):
        assert asyncio.run(use()) <= 2 * most


def test_so_do_those_who_wait_for_replicas(redisjobs: Any, client: redis.Redis) -> None:
    async def use() -> int:
        calls = [add.adelay(each, 1) for each in range(20)]
        told = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in told} == {NotDurable}
        return named(client, "shared")

    chosen = {
        **redisjobs,
        "DURABLE": {"REPLICAS": 1, "TIMEOUT": 0.01},
        "OPTIONS": {"client_name": "shared", "max_connections": 2},
    }
    with override_settings(REDISJOBS=chosen):
        assert asyncio.run(use()) == 2


class Forgetful:
    """Takes commands, and closes the connection instead of answering INCR.

    Asked for the slots of a Cluster it says that it has them all.
    """

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.taken = 0
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                opened, _ = self.listening.accept()
            except OSError:
                return
            with opened:
                while received := opened.recv(4096):
                    if b"INCR" in received:
                        self.taken += 1
                        break
                    opened.sendall(self.reply(received))

    def reply(self, received: bytes) -> bytes:
        if b"SLOTS" in received:
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % (
                self.port
            )
        return b"+OK\r\n" * received.count(b"*")

    def stop(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join()


@pytest.mark.parametrize("scheme", ["redis", "cluster"])
@pytest.mark.parametrize("make", SYNC)
def test_a_command_whose_reply_is_lost_is_not_sent_again(
    make: Any, scheme: str
) -> None:
    server = Forgetful()
    with (
        override_settings(REDISJOBS={"URL": f"{scheme}://127.0.0.1:{server.port}"}),
        pytest.raises(redis.ConnectionError),
    ):
        make().incr("a")

    server.stop()
    assert server.taken == 1


@pytest.mark.parametrize("scheme", ["redis", "cluster"])
@pytest.mark.parametrize("make", ASYNC)
def test_nor_by_an_async_client(make: Any, scheme: str) -> None:
    async def use() -> None:
        await make().incr("a")

    server = Forgetful()
    with (
        override_settings(REDISJOBS={"URL": f"{scheme}://127.0.0.1:{server.port}"}),
        pytest.raises(redis.ConnectionError),
    ):
        asyncio.run(use())

    server.stop()
    assert server.taken == 1


@pytest.mark.parametrize("scheme", ["redis", "cluster"])
def test_nor_is_one_of_a_pipeline(scheme: str) -> None:
    async def use() -> None:
        async with connections.async_client().pipeline(transaction=False) as pipeline:
            pipeline.execute_command("SET", "b", 1)
            pipeline.execute_command("INCR", "b")
            await pipeline.execute()

    server = Forgetful()
    with override_settings(REDISJOBS={"URL": f"{scheme}://127.0.0.1:{server.port}"}):
        with (
            pytest.raises(redis.ConnectionError),
            connections.client().pipeline(transaction=False) as pipeline,
        ):
            pipeline.execute_command("SET", "a", 1)
            pipeline.execute_command("INCR", "a")
            pipeline.execute()
        with pytest.raises(redis.ConnectionError):
            asyncio.run(use())

    server.stop()
    assert server.taken == 2


@pytest.fixture
def own_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def test_a_restarted_server_is_found_again(own_server: Server) -> None:
    with override_settings(REDISJOBS={"URL": own_server.url}):
        assert connections.client().ping()
        own_server.kill()
        own_server.start()

        # A pooled connection that the server closed is replaced before its use.
        assert connections.client().ping()


def test_blocking_calls_may_block_longer_than_a_call_may_take(redisjobs: Any) -> None:
    kwargs = connections.blocking_client().connection_pool.connection_kwargs

    assert kwargs["socket_timeout"] > connections.LONGEST_BLOCK
    assert connections.client().connection_pool.connection_kwargs["socket_timeout"] == (
        connections.CALL_TIMEOUT
    )


def test_options_and_url_choose_what_is_free_to_choose(redisjobs: Any) -> None:
    chosen = {
        **redisjobs,
        "URL": f"{redisjobs['URL']}?db=3&protocol=3&decode_responses=yes",
        "OPTIONS": {"socket_timeout": 2.5, "client_name": "shop"},
    }
    with override_settings(REDISJOBS=chosen):
        ours = connections.client()

        assert ours.connection_pool.connection_kwargs["db"] == 3
        assert ours.client_getname() in (b"shop", "shop")
        assert ours.connection_pool.connection_kwargs["socket_timeout"] == 2.5
        assert ours.connection_pool.connection_kwargs["protocol"] == 2
        assert isinstance(ours.echo("a"), bytes)
        blocking = connections.blocking_client().connection_pool.connection_kwargs
        assert blocking["socket_timeout"] == connections.BLOCKING_TIMEOUT


def test_jobs_have_another_database_than_the_cache_whose_server_they_take(
    redisjobs: Any,
) -> None:
    chosen = {"CACHE": "default", "OPTIONS": {"db": 1}}
    for url in (f"{redisjobs['URL']}?db=0", "redis://localhost/0"):
        caches = {"default": {"LOCATION": url}}
        with override_settings(CACHES=caches, REDISJOBS=chosen):
            assert connections.client().connection_pool.connection_kwargs["db"] == 1


def test_a_changed_setting_changes_the_server(redisjobs: Any) -> None:
    first = connections.client()
    with override_settings(REDISJOBS={**redisjobs, "PREFIX": "else"}):
        assert connections.client() is not first


def test_tcp_with_password_works_and_is_never_shown() -> None:
    port = _free_port()
    server = Server("--port", str(port), "--requirepass", "")
    server.client().config_set("requirepass", "sesame")
    try:
        url = f"redis://:sesame@127.0.0.1:{port}/1"
        with override_settings(REDISJOBS={"URL": url}):
            assert connections.client().ping()
            assert connections.describe() == f"127.0.0.1:{port}"
            assert asyncio.run(_ping()) is True
    finally:
        server.stop()


async def _ping() -> bool:
    return bool(await connections.async_client().ping())


def test_a_server_that_is_down_is_known_at_once() -> None:
    url = f"redis://127.0.0.1:{_free_port()}/0"
    with override_settings(REDISJOBS={"URL": url}):
        started = time.monotonic()
        with pytest.raises(redis.ConnectionError):
            connections.client().ping()
        with pytest.raises(redis.ConnectionError):
            asyncio.run(_ping())

    assert time.monotonic() - started < 2


def test_a_server_that_does_not_answer_times_out(silent: int) -> None:
    redisjobs = {
        "URL": f"redis://127.0.0.1:{silent}/0",
        "OPTIONS": {"socket_timeout": 0.2},
    }
    with override_settings(REDISJOBS=redisjobs), pytest.raises(redis.TimeoutError):
        connections.client().ping()


def test_a_forked_child_has_connections_of_its_own(
    redisjobs: Any, client: redis.Redis
) -> None:
    async def fork_inside_a_loop() -> None:
        await connections.async_client().ping()
        _in_a_child(lambda: asyncio.new_event_loop().run_until_complete(_ping()))
        # The child's end must not have closed this one, nor left its epoll set.
        assert await connections.async_client().ping()

    ours = connections.client()
    ours.ping()
    id_ = ours.client_id()

    _in_a_child(lambda: connections.client().ping())
    asyncio.run(fork_inside_a_loop())

    assert ours.client_id() == id_


def _in_a_child(call: Any) -> None:
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = 0 if call() else 2
        finally:
            gc.collect()
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_threads_share_one_client(redisjobs: Any) -> None:
    connections.forget()
    barrier = threading.Barrier(8)
    found: list[object] = []

    def get() -> None:
        barrier.wait()
        found.append(connections.client())

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(map(id, found))) == 1


def test_get_connection_is_for_everybody(redisjobs: Any) -> None:
    assert connections.get_connection() is connections.get_connection("high")
    with pytest.raises(UnknownQueue):
        connections.get_connection("hihg")


def test_wrong_settings_are_told_before_anything_is_sent() -> None:
    with (
        override_settings(REDISJOBS={"URL": "sentinel://h"}),
        pytest.raises(ConfigurationError, match="does not name the service"),
    ):
        connections.client()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
