"""A user with the rights that the docs list, and no others, can do everything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import call_command

import django_redisjobs
from django_redisjobs import connections, get_queue
from django_redisjobs.surroundings import server_problems
from tests.servers import Server

from .conftest import ROOT
from .jobs import add, kill_once

PAGE = (ROOT / "docs" / "how-to" / "servers.md").read_text()
RULE = re.search(r"^ACL SETUSER jobs (.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FURTHER = re.findall(r"^- `((?:\+\S+ ?)+)`", PAGE, re.MULTILINE)
CORE = Path(django_redisjobs.__file__).parent / "core"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


@pytest.fixture
def admin(server: Server) -> Iterator[Any]:
    with server.client() as client:
        if int(client.info("server")["redis_version"].split(".")[0]) < 6:
            pytest.skip("Redis 5 has one password and no users")
        yield client


def rules(prefix: str) -> list[str]:
    assert RULE
    return RULE[1].replace("redisjobs:*", f"{prefix}:*").split()


def test_no_command_is_missing_and_none_too_many(admin: Any) -> None:
    known = {name.upper() for name in admin.command()}
    source = "".join(
        path.read_text()
        for pattern in ("*.py", "*.lua")
        for path in CORE.rglob(pattern)
    )
    used = set(re.findall(r"['\"]([A-Z]{3,})['\"]", source)) & known
    # What is said to a connection is not the core's: see worker.waiting.
    documented = {
        word[1:].upper()
        for word in [*rules("t"), *" ".join(FURTHER).split()]
        if word.startswith("+") and "|" not in word
    }

    # Servers before 7.2 have no WAITAOF.
    absent = {"WAITAOF"} - known
    assert documented - absent - {"SELECT", "INFO", "ASKING"} == used


def test_such_a_user_can_do_everything(
    server: Server,
    admin: Any,
    use: Callable[..., Any],
    start: Callable[..., Any],
) -> None:
    redisjobs = use(server.url, OPTIONS={"username": "jobs", "password": "password"})
    admin.execute_command("ACL", "SETUSER", "jobs", *rules(redisjobs["PREFIX"]))
    worker = start(redisjobs, "--processes", "1")

    assert add.delay(1, 2).result(timeout=60) == 3
    assert kill_once.delay().result(timeout=60) == 2
    assert worker.stop() == 0

    queue = get_queue("default")
    queue.pause(reason="test")
    handles = add.delay_many([(1, 2), (3, 4), (5, 6)])
    later = add.using(run_after="1h", priority=5).delay(7, 8)
    urgent = add.using(priority=5).delay(7, 8)
    assert handles[0].cancel()
    assert handles[0].retry()
    assert handles[1].delete() is not None
    assert later.info().status == "scheduled"
    assert urgent.info().priority == 5
    assert queue.latency() >= 0
    assert queue.counts().pending == 3
    queue.resume()
    queue.purge()
    call_command("redisjobs", "stats", "--json")
    with pytest.raises(redis.ResponseError, match=r"(?i)permission"):
        connections.client().set("elsewhere", 1)
    (untold,) = server_problems()
    assert untold.id == "redisjobs.W006"


def test_the_further_rights_are_for_what_the_page_says(
    server: Server, admin: Any, use: Callable[..., Any]
) -> None:
    redisjobs = use(
        f"{server.url}?db=1", OPTIONS={"username": "jobs", "password": "password"}
    )
    admin.execute_command(
        "ACL", "SETUSER", "jobs", "reset", *rules(redisjobs["PREFIX"])
    )
    with pytest.raises(redis.RedisError):
        connections.client().get(f"{redisjobs['PREFIX']}:a")
    more = set(" ".join(FURTHER[:-1]).split())
    if "waitaof" not in admin.command():
        more.remove("+waitaof")
    admin.execute_command("ACL", "SETUSER", "jobs", *more)

    add.delay(1, 2)
    call_command("redisjobs", "doctor")
    assert [each.id for each in server_problems()] == ["redisjobs.W003"]
