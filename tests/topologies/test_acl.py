"""A user with the rights that the docs list, and no others, can do everything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.db import transaction

import django_redisjobs
from django_redisjobs import connections, exceptions, get_queue
from django_redisjobs.models import OutboxEntry
from django_redisjobs.outbox import _ago
from django_redisjobs.signals import job_enqueued
from django_redisjobs.surroundings import server_problems
from django_redisjobs.worker.relay import relay
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


@pytest.fixture
def announced() -> Iterator[list[str]]:
    """The queues of the jobs that receivers were told of."""
    queues: list[str] = []

    def receive(queue: str, **_: Any) -> None:
        queues.append(queue)

    job_enqueued.connect(receive)
    yield queues
    job_enqueued.disconnect(receive)


def commit_to_all_groups() -> None:
    with transaction.atomic():
        add.using(queue="high").delay(1, 2)
        add.delay(3, 4)
        add.using(queue="low").delay(5, 6)


def depths() -> list[int]:
    return [get_queue(queue).depth() for queue in ("high", "default", "low")]


@pytest.fixture
def refused(
    server: Server, admin: Any, use: Callable[..., Any]
) -> Callable[..., Callable[[], None]]:
    """REDISJOBS of a user who may not touch the group of the queue "default", the
    second of three; what it gives permits it.
    """

    def begin(**more: Any) -> Callable[[], None]:
        login = {"username": "jobs", "password": "password"}
        prefix = use(server.url, OPTIONS=login, **more)["PREFIX"]
        own = [rule for rule in rules(prefix) if not rule.startswith("~")]
        others = [f"~{prefix}:{{{group}}}:*" for group in "ac"]
        admin.execute_command("ACL", "SETUSER", "jobs", "reset", *own, *others)

        def permit() -> None:
            admin.execute_command("ACL", "SETUSER", "jobs", f"~{prefix}:{{b}}:*")

        return permit

    return begin


@pytest.mark.django_db(transaction=True)
def test_a_group_that_is_refused_keeps_no_other_back(
    refused: Callable[..., Callable[[], None]], announced: list[str]
) -> None:
    permit = refused()

    with pytest.raises(
        exceptions.EnqueueError, match=r"add was not enqueued.*(?i:permi)"
    ):
        commit_to_all_groups()

    assert announced == ["high", "low"]
    permit()
    assert depths() == [1, 0, 1]


@pytest.mark.django_db(transaction=True)
def test_what_a_refused_group_was_to_get_waits_in_the_outbox(
    refused: Callable[..., Callable[[], None]],
    announced: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    permit = refused(OUTBOX=True)

    commit_to_all_groups()

    assert announced == ["high", "low"]
    assert "add was not enqueued" in caplog.text
    assert "waits in the outbox" in caplog.text
    assert list(OutboxEntry.objects.values_list("queue", flat=True)) == ["default"]
    permit()
    assert depths() == [1, 0, 1]
    OutboxEntry.objects.update(created_at=_ago(3600))
    assert relay("default") == 1
    assert depths() == [1, 1, 1]
