"""The main job on a primary that changes, as two sentinels tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis

from django_redisjobs import conf, connections
from django_redisjobs.worker.waiting import make_waiter

from .jobs import add, kill_once
from .servers import SentinelPair, until


@pytest.fixture
def redisjobs(pair: SentinelPair, use: Callable[..., Any]) -> dict[str, Any]:
    return use(pair.url)


async def _by_asyncio() -> int:
    handle = await add.adelay(2, 3)
    return await handle.aresult(timeout=60)


def test_the_main_job_before_and_after_a_failover(
    pair: SentinelPair, redisjobs: Any, start: Callable[..., Any]
) -> None:
    worker = start(redisjobs, "--processes", "2")
    killer = kill_once.delay()
    assert add.delay(1, 2).result(timeout=60) == 3
    assert killer.result(timeout=60) == 2
    assert asyncio.run(_by_asyncio()) == 5

    pair.fail_over()

    # The replica had everything, and takes over with what is new.
    assert killer.info().crashes == 1
    assert add.delay(3, 4).result(timeout=60) == 7
    assert asyncio.run(_by_asyncio()) == 5
    assert worker.stop() == 0


def test_a_live_primary_is_left_when_it_is_one_no_more(
    pair: SentinelPair, redisjobs: Any
) -> None:
    def port() -> int:
        return int(connections.client().config_get("port")["port"])

    async def async_port() -> int:
        client = connections.async_client()
        assert (await client.config_get("port"))["port"] == str(before.port)
        await asyncio.to_thread(pair.fail_over)
        # The old one still takes writes, and will lose them.
        for _ in range(100):
            found = int((await client.config_get("port"))["port"])
            if found != before.port:
                break
            await asyncio.sleep(0.05)
        return found

    before = pair.primary()
    assert port() == before.port

    assert asyncio.run(async_port()) == pair.primary().port
    assert pair.primary() is not before
    until(lambda: port() == pair.primary().port, "the primary is found", 3)


def test_a_waiter_follows_a_failover(pair: SentinelPair, redisjobs: Any) -> None:
    waiter = make_waiter(connections.worker_client(), connections.blocking_client())
    key = conf.keys_for("default").wake("default")
    assert waiter.wait([key], 1, []) is None
    before = pair.primary()

    before.kill()
    with pytest.raises((redis.RedisError, OSError)):
        waiter.wait([key], 5, [])
    pair.wait_for_other(before)
    add.delay(1, 2)

    assert waiter.wait([key], 5, []) == (key, "1")
    waiter.close()


def test_a_primary_that_was_killed_is_replaced(
    pair: SentinelPair, redisjobs: Any, start: Callable[..., Any]
) -> None:
    worker = start(redisjobs, "--processes", "1")
    assert add.delay(1, 2).result(timeout=60) == 3
    before = pair.primary()

    before.kill()
    pair.wait_for_other(before)

    assert add.delay(3, 4).result(timeout=60) == 7
    assert worker.stop() == 0


def test_servers_and_sentinels_may_want_passwords(
    use: Callable[..., Any], start: Callable[..., Any]
) -> None:
    pair = SentinelPair(password="sesame", sentinel_password="barley")
    try:
        use(pair.url.replace("://", "://:sesame@"))
        with pytest.raises(redis.ConnectionError, match=r"(?i)auth"):
            connections.client().ping()
        redisjobs = use(
            pair.url,
            OPTIONS={"password": "sesame", "sentinel_kwargs": {"password": "barley"}},
        )
        assert connections.client().ping()
        assert "sesame" not in connections.describe()
        worker = start(redisjobs, "--processes", "1")
        assert add.delay(1, 2).result(timeout=60) == 3
        assert asyncio.run(_by_asyncio()) == 5
        assert worker.stop() == 0
    finally:
        pair.stop()


def test_sentinels_that_know_no_such_service_are_told(
    pair: SentinelPair, use: Callable[..., Any]
) -> None:
    use(pair.url.replace("/jobs/", "/nobs/"))
    with pytest.raises(redis.ConnectionError, match="'nobs'"):
        connections.client().ping()
