"""TLS with certificates on both sides, for every kind of client and a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from django_redisjobs import connections
from django_redisjobs.exceptions import EnqueueError

from .jobs import add
from .tls import Certificates, TLSServer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[TLSServer]:
    started = TLSServer(certificates)
    yield started
    started.stop()


@pytest.fixture
def options(certificates: Certificates) -> dict[str, Any]:
    return {
        "ssl_ca_certs": str(certificates.authority),
        "ssl_certfile": str(certificates.client),
        "ssl_keyfile": str(certificates.client),
    }


async def _by_asyncio() -> int:
    handle = await add.adelay(2, 3)
    return await handle.aresult(timeout=60)


def test_the_main_job(
    server: TLSServer,
    options: dict[str, Any],
    use: Callable[..., Any],
    start: Callable[..., Any],
) -> None:
    redisjobs = use(server.url, OPTIONS=options)
    worker = start(redisjobs, "--processes", "2")

    assert add.delay(1, 2).result(timeout=60) == 3
    assert asyncio.run(_by_asyncio()) == 5
    # It sleeps on an encrypted connection by now.
    assert add.delay(3, 4).result(timeout=4) == 7
    assert worker.stop() == 0


def test_options_may_be_in_the_url(
    server: TLSServer, options: dict[str, Any], use: Callable[..., Any]
) -> None:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    use(f"{server.url}?{query}")

    assert connections.client().ping()


@pytest.mark.parametrize("missing", ["ssl_ca_certs", "ssl_certfile"])
def test_who_is_not_known_is_refused(
    server: TLSServer, options: dict[str, Any], use: Callable[..., Any], missing: str
) -> None:
    del options[missing]
    options.pop("ssl_keyfile" if missing == "ssl_certfile" else "", None)
    use(server.url, OPTIONS=options)

    with pytest.raises((redis.ConnectionError, OSError)):
        connections.client().ping()


def test_a_plain_client_is_refused(server: TLSServer, use: Callable[..., Any]) -> None:
    use(server.url.replace("rediss://", "redis://"), OPTIONS={"socket_timeout": 5})

    with pytest.raises(redis.RedisError):
        connections.client().ping()


def test_a_server_that_became_a_replica_is_left(
    server: TLSServer, options: dict[str, Any], use: Callable[..., Any]
) -> None:
    use(server.url, OPTIONS=options)
    add.delay(1, 2)
    before = connections.client().client_id()
    assert connections.client().client_id() == before
    with server.server.demoted(), pytest.raises(EnqueueError, match="It is a replica"):
        add.delay(1, 2)

    assert connections.client().client_id() != before


def test_asynchronous_clients_leave_it_too(
    server: TLSServer, options: dict[str, Any], use: Callable[..., Any]
) -> None:
    async def connection_id() -> int:
        return int(await connections.async_client().client_id())

    async def enqueue() -> None:
        await add.adelay(1, 2)
        before = await connection_id()
        assert await connection_id() == before
        with (
            server.server.demoted(),
            pytest.raises(EnqueueError, match="It is a replica"),
        ):
            await add.adelay(1, 2)
        assert await connection_id() != before

    use(server.url, OPTIONS=options)
    asyncio.run(enqueue())
