"""When jobs are sent: at once, or at the commit that they belong to."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import connections as databases
from django.db import transaction
from django.test import TestCase, override_settings
from django.utils import translation

from django_redisjobs import (
    JobStatus,
    conf,
    delivery,
    enqueueing,
    exceptions,
    get_job,
    job,
)
from django_redisjobs.connections import client
from django_redisjobs.signals import job_enqueued
from tests.servers import Server

transactional = pytest.mark.django_db(
    transaction=True, databases=["default", "other"], reset_sequences=False
)
pytestmark = pytest.mark.usefixtures("redisjobs")


@job
def add(a: int, b: int = 2) -> int:
    return a + b


@job("high")
def urgent(a: int) -> None: ...


# Django 6.1 gave it another name.
SAVEPOINT = getattr(transaction, "savepoint_create", None) or transaction.savepoint


class Rollback(Exception):
    pass


def sent(queue: str = "default") -> list[int]:
    """The first arguments of the jobs that wait, in order."""
    ids = client().lrange(conf.keys_for(queue).pending(queue), 0, -1)
    infos = [get_job(each.decode()).info() for each in ids]
    return [info.args[0] if info.args else info.kwargs["a"] for info in infos]


@pytest.fixture
def calls() -> Callable[[], int]:
    """How many scripts ran since the last time it was asked."""

    def total() -> int:
        stats = client().info("commandstats")
        return sum(
            stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]
            for name in ("evalsha", "eval")
        )

    last = total()

    def since() -> int:
        nonlocal last
        before, last = last, total()
        return last - before

    return since


def test_outside_a_transaction_a_job_is_sent_at_once() -> None:
    handle = add.delay(1)

    assert sent() == [1]
    assert handle.status() is JobStatus.PENDING


def test_the_async_twin_sends_at_once() -> None:
    async def both() -> list[Any]:
        return [await add.adelay(1), *await add.adelay_many([(2,), {"a": 3}])]

    handles = asyncio.run(both())

    assert sent() == [1, 2, 3]
    assert handles[2].info().kwargs == {"a": 3}


@transactional
def test_a_coroutine_within_a_transaction_may_have_its_thread_wait_for_the_commit() -> (
    None
):
    async def service() -> None:
        await add.adelay(1)
        await sync_to_async(add.delay)(2)

    with transaction.atomic():
        async_to_sync(service)()
        assert sent() == [1]

    assert sent() == [1, 2]
    async_to_sync(service)()
    assert sent() == [1, 2, 1, 2]


def test_many_jobs_take_one_round_trip(calls: Callable[[], int]) -> None:
    add.delay(0)
    calls()

    handles = add.delay_many([(number,) for number in range(1000)])

    assert calls() == 1
    assert sent() == [0, *range(1000)]
    assert len({handle.id for handle in handles}) == 1000


@transactional
def test_more_than_a_call_may_hold_goes_in_several(
    calls: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_MOST_A_CALL", 10)
    with transaction.atomic():
        # Of 4, of 10, 10 and 5 jobs, and of 10.
        for first, end in ((0, 4), (4, 29), (29, 30), (30, 39)):
            add.delay_many([(number,) for number in range(first, end)])
        calls()

    assert calls() == 5
    assert sent() == list(range(39))
    add.delay_many([(number,) for number in range(39, 59)])
    assert calls() == 2
    assert sent() == list(range(59))


@transactional
def test_only_who_has_more_than_a_call_may_hold_is_divided(
    calls: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_MOST_A_CALL", 10)
    with transaction.atomic():
        # 18 would be two calls, of which each had a part of the second one's.
        for first, end in ((0, 6), (6, 12), (12, 18)):
            add.delay_many([(number,) for number in range(first, end)])
        calls()

    assert calls() == 3
    assert sent() == list(range(18))


def test_no_call_at_all_is_nothing_to_send(calls: Callable[[], int]) -> None:
    assert add.delay_many([]) == []

    assert calls() == 0


def test_each_item_of_a_bulk_is_taken_as_it_comes() -> None:
    def calls() -> Iterator[dict[str, int]]:
        call = {}
        for number in range(300):
            call["a"] = number
            yield call

    handles = add.delay_many(calls())

    assert [handle.info().kwargs for handle in handles[::100]] == [
        {"a": 0},
        {"a": 100},
        {"a": 200},
    ]


@transactional
def test_a_transaction_sends_all_its_jobs_at_commit_in_one_round_trip(
    calls: Callable[[], int],
) -> None:
    with transaction.atomic():
        handles = [add.delay(number) for number in range(20)]
        add.delay_many([(20,), (21,)])
        assert sent() == []
        calls()

    assert calls() == 1
    assert sent() == list(range(22))
    assert handles[0].status() is JobStatus.PENDING


@transactional
def test_before_the_commit_redis_knows_nothing() -> None:
    with transaction.atomic():
        handle = add.delay(1)
        assert len(handle.id) == 20
        for look in (handle.status, handle.info, handle.wait, handle.result):
            with pytest.raises(exceptions.JobNotFound, match="may not have committed"):
                look()


@transactional
def test_a_rollback_sends_nothing() -> None:
    with pytest.raises(Rollback), transaction.atomic():
        add.delay(1)
        raise Rollback

    with transaction.atomic():
        add.delay(2)

    assert sent() == [2]


@transactional
def test_a_rolled_back_savepoint_drops_its_jobs_and_no_others(
    calls: Callable[[], int],
) -> None:
    with transaction.atomic():
        add.delay(1)
        with transaction.atomic():
            add.delay(2)
            with pytest.raises(Rollback), transaction.atomic():
                add.delay(3)
                with transaction.atomic():
                    add.delay(4)
                raise Rollback
            add.delay(5)
        add.delay(6)
        calls()

    assert calls() == 1
    assert sent() == [1, 2, 5, 6]


@transactional
def test_the_first_savepoint_may_be_the_one_that_is_rolled_back() -> None:
    with transaction.atomic():
        with pytest.raises(Rollback), transaction.atomic():
            add.delay(1)
            raise Rollback
        add.delay(2)
        add.delay(3)

    assert sent() == [2, 3]


@transactional
def test_a_dead_hook_is_gone_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        with transaction.atomic():
            add.delay(1)
            with pytest.raises(Rollback), transaction.atomic():
                add.delay(2)
                raise Rollback
            add.delay(3)
    finally:
        gc.enable()

    assert sent() == [1, 3]


@transactional
def test_a_manual_savepoint_follows_djangos_rule() -> None:
    # Django itself keeps hooks that were registered after savepoint().
    with transaction.atomic():
        sid = SAVEPOINT()
        add.delay(1)
        transaction.savepoint_rollback(sid)

    assert sent() == [1]


@transactional
def test_a_hook_that_enqueues_sends_at_once() -> None:
    with transaction.atomic():
        transaction.on_commit(lambda: add.delay(1))
        add.delay(2)

    assert sent() == [1, 2]


@transactional
def test_a_hook_that_opens_a_transaction_sends_at_its_commit() -> None:
    def hook() -> None:
        with transaction.atomic():
            add.delay(2)
            assert sent() == [1]

    with transaction.atomic():
        add.delay(1)
        transaction.on_commit(hook)

    assert sent() == [1, 2]


@transactional
def test_hooks_are_forgotten_though_others_come_first() -> None:
    for _ in range(5):
        with transaction.atomic():
            transaction.on_commit(list)
            add.delay(1)

    peers = enqueueing._hooks[transaction.get_connection()]
    assert len(peers) == 1


@transactional
def test_on_commit_false_sends_at_once() -> None:
    with pytest.raises(Rollback), transaction.atomic():
        add.using(on_commit=False).delay(1)
        raise Rollback

    assert sent() == [1]


@transactional
def test_the_setting_may_say_at_once_and_a_call_at_commit(
    redisjobs: dict[str, Any],
) -> None:
    with override_settings(REDISJOBS={**redisjobs, "ON_COMMIT": False}):
        with transaction.atomic():
            add.delay(1)
            add.using(on_commit=True).delay(2)
            assert sent() == [1]

        assert sent() == [1, 2]


@transactional
def test_the_transaction_of_another_database_counts_if_it_is_the_only_one() -> None:
    with transaction.atomic(using="other"):
        add.delay(1)
        assert sent() == []

    assert sent() == [1]


@transactional
def test_the_default_database_comes_first() -> None:
    with transaction.atomic(using="other"):
        with transaction.atomic():
            add.delay(1)
        assert sent() == [1]


@transactional
def test_the_database_can_be_named() -> None:
    with transaction.atomic(using="other"):
        with transaction.atomic():
            add.using(using_db="other").delay(1)
        assert sent() == []
    assert sent() == [1]

    with transaction.atomic(using="other"):
        add.using(using_db="default").delay(2)
        assert sent() == [1, 2]


@transactional
def test_the_setting_may_name_the_database(redisjobs: dict[str, Any]) -> None:
    with override_settings(REDISJOBS={**redisjobs, "ON_COMMIT": "other"}):
        with transaction.atomic(using="other"), transaction.atomic():
            add.delay(1)
            assert sent() == []
        assert sent() == [1]


@transactional
def test_a_call_at_commit_waits_for_the_database_of_the_settings(
    redisjobs: dict[str, Any],
) -> None:
    with override_settings(REDISJOBS={**redisjobs, "ON_COMMIT": "other"}):
        with transaction.atomic(using="other"):
            with transaction.atomic():
                add.using(on_commit=True).delay(3)
                add.using(on_commit=True, using_db="default").delay(2)
                add.using(on_commit=False).delay(1)
                assert sent() == [1]
            assert sent() == [1, 2]
        assert sent() == [1, 2, 3]


def test_a_database_that_is_none_is_refused_at_delay() -> None:
    with pytest.raises(exceptions.ConfigurationError, match="has default, other"):
        add.using(using_db="ledgr").delay(1)

    assert sent() == []


@transactional
def test_manual_transaction_management_is_a_clear_error() -> None:
    databases["default"].ensure_connection()
    transaction.set_autocommit(False)
    try:
        with pytest.raises(exceptions.EnqueueError, match="manual transaction"):
            add.delay(1)
        add.using(on_commit=False).delay(2)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)

    assert sent() == [2]


@transactional
def test_each_group_gets_a_call_of_its_own(redisjobs: dict[str, Any]) -> None:
    queues = {"default": {}, "high": {"GROUP": "b"}}
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        with transaction.atomic():
            first, second = add.delay(1), urgent.delay(2)

        assert (sent(), sent("high")) == ([1], [2])
        assert first.status() is second.status() is JobStatus.PENDING


class CapturingTests(TestCase):
    """What a user's TestCase sees: its transaction never commits."""

    def test_captured_hooks_send_what_was_enqueued_within(self) -> None:
        add.delay(1)
        with self.captureOnCommitCallbacks(execute=True) as hooks:
            add.delay(2)
            with transaction.atomic():
                add.delay(3)
            assert sent() == []

        assert len(hooks) == 2
        assert sent() == [2, 3]

        with self.captureOnCommitCallbacks(execute=True):
            add.delay(4)
        assert sent() == [2, 3, 4]

    def test_a_hook_that_ran_sends_nothing_again(self) -> None:
        with self.captureOnCommitCallbacks() as hooks:
            add.delay(1)
            add.delay(2)
        assert sent() == []

        for hook in [*hooks, *hooks]:
            hook()

        assert sent() == [1, 2]

    def test_hooks_may_run_in_another_order(self) -> None:
        with self.captureOnCommitCallbacks() as hooks:
            add.delay(1)
            add.delay(2)

        hooks[1]()
        hooks[0]()

        assert sent() == [2, 1]


NOWHERE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nonexistent/db"}


@pytest.mark.parametrize("configured", [{}, {"default": NOWHERE}])
def test_sending_at_once_connects_to_no_database(
    redisjobs: dict[str, Any], configured: dict[str, Any]
) -> None:
    code = (
        "from django.conf import settings\n"
        f"settings.configure(DATABASES={configured!r}, REDISJOBS={redisjobs!r})\n"
        "import django; django.setup()\n"
        "from django.db import connections; connections['default']\n"
        "from tests.integration.test_enqueueing import add\n"
        "add.delay(1); add.delay_many([(2,)]); add.using(using_db='default').delay(3)\n"
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "DJANGO_SETTINGS_MODULE"
    }

    subprocess.run([sys.executable, "-c", code], check=True, env=environment)

    assert sent() == [1, 2, 3]


def test_a_delay_counts_from_the_arrival_and_a_time_in_the_past_means_now() -> None:
    past = datetime.now(UTC) - timedelta(days=1)

    later = add.using(run_after="5m").delay(1).info()
    now = add.using(run_after=past).delay(2).info()
    soon = add.using(run_after=datetime.now(UTC) + timedelta(hours=1)).delay(3)

    assert later.status is JobStatus.SCHEDULED
    assert later.due_at is not None
    assert later.enqueued_at is not None
    assert later.due_at - later.enqueued_at == timedelta(minutes=5)
    assert now.status is JobStatus.PENDING
    assert soon.status() is JobStatus.SCHEDULED


def test_priority_and_expiry_reach_redis() -> None:
    handle = add.using(priority=-7, expires="1h").delay(1)

    raw = client().get(conf.keys_for("default").job(handle.id))

    assert handle.info().priority == -7
    assert isinstance(raw, bytes)


def test_what_a_call_overrides_travels_with_the_job() -> None:
    add.using(timeout=None, retry=0, result_ttl="1m").delay(1)

    (raw,) = client().mget(*client().keys("*job:*"))

    assert b'{"result_ttl":60.0,"retry":{"max":0},"timeout":null}' in raw


def test_the_language_travels_only_if_it_is_not_the_usual_one() -> None:
    def stored(handle: Any) -> bytes:
        return client().get(conf.keys_for("default").job(handle.id))

    usual = add.delay(1)
    with translation.override("de"):
        german = add.delay(2)
    with translation.override(None):
        none = add.delay(3)

    assert b'{"language":"de"}' in stored(german)
    assert b"language" not in stored(usual) + stored(none)


def test_receivers_are_told_after_redis_has_the_job() -> None:
    told: list[Any] = []

    def receive(sender: Any, handle: Any, **_: Any) -> None:
        told.append((sender, handle.status()))
        raise RuntimeError("a receiver that fails hurts nobody")

    job_enqueued.connect(receive)
    try:
        add.using(priority=3).delay(1)
        handles = add.delay_many([(2,), (3,)])
    finally:
        job_enqueued.disconnect(receive)

    assert told == [(add, JobStatus.PENDING)] * 3
    assert len(handles) == 2


# -- Redis in trouble ------------------------------------------------------------


@pytest.fixture
def own_server(redisjobs: dict[str, Any]) -> Iterator[Server]:
    """A server to break."""
    server = Server()
    values = {**redisjobs, "URL": server.url, "OPTIONS": {"socket_timeout": 0.3}}
    with override_settings(REDISJOBS=values):
        yield server
    server.stop()


def test_a_server_that_is_down_is_named(own_server: Server) -> None:
    own_server.kill()

    with pytest.raises(exceptions.EnqueueError) as hit:
        add.delay(1)

    assert own_server.socket in str(hit.value)
    assert "add was not enqueued" in str(hit.value)
    assert "Is it running" in str(hit.value)
    assert isinstance(hit.value.__cause__, redis.ConnectionError)
    with pytest.raises(
        exceptions.EnqueueError, match=r"2 jobs .* were not enqueued"
    ) as hit:
        asyncio.run(add.adelay_many([(1,), (2,)]))
    assert len(set(hit.value.job_ids)) == 2


@transactional
def test_the_error_names_the_jobs_of_all_groups(own_server: Server) -> None:
    own_server.kill()
    queues = {"default": {}, "high": {"GROUP": "b"}}
    changed = {**settings.REDISJOBS, "QUEUES": queues}

    with (
        override_settings(REDISJOBS=changed),
        pytest.raises(exceptions.EnqueueError) as hit,
        transaction.atomic(),
    ):
        handles = add.delay(1), urgent.delay(2)

    assert hit.value.job_ids == tuple(handle.id for handle in handles)


def test_a_server_that_does_not_answer_may_have_it(own_server: Server) -> None:
    add.delay(1)
    os.kill(own_server.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(exceptions.EnqueueError, match="may or may not have been"):
            add.delay(2)
    finally:
        os.kill(own_server.process.pid, signal.SIGCONT)


def test_a_full_server_writes_nothing_and_says_so(own_server: Server) -> None:
    with own_server.client() as plain:
        plain.config_set("maxmemory", 1)

        with pytest.raises(exceptions.EnqueueError, match="purge queues"):
            add.delay(1)

        plain.config_set("maxmemory", 0)
        assert plain.keys("*job:*") == []


def test_a_replica_refuses_and_says_so(own_server: Server) -> None:
    with own_server.client() as plain:
        plain.replicaof("127.0.0.1", "1")

    with pytest.raises(exceptions.EnqueueError, match="name the primary"):
        add.delay(1)


@transactional
def test_a_commit_tells_of_a_server_that_is_down(own_server: Server) -> None:
    own_server.kill()

    with (
        pytest.raises(exceptions.EnqueueError, match="2 jobs"),
        transaction.atomic(),
    ):
        add.delay(1)
        add.delay(2)


class LosesReplies:
    """A proxy that ends a connection after the server got the first script call."""

    def __init__(self, server: Server, path: str) -> None:
        self.lost = 0
        self.upstream = server.socket
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while True:
            try:
                accepted, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(accepted,), daemon=True).start()

    def serve(self, near: Any) -> None:
        with near, socket.socket(socket.AF_UNIX) as far:
            far.connect(self.upstream)
            while data := near.recv(65536):
                far.sendall(data)
                reply = far.recv(65536)
                if b"EVAL" in data and b"NOSCRIPT" not in reply and not self.lost:
                    self.lost += 1
                    return
                near.sendall(reply)


@pytest.fixture
def lossy(server: Server, redisjobs: dict[str, Any]) -> Iterator[LosesReplies]:
    path = f"{server.folder}/lossy"
    proxy = LosesReplies(server, path)
    with override_settings(REDISJOBS={**redisjobs, "URL": f"unix://{path}"}):
        yield proxy
    proxy.socket.close()
    Path(path).unlink()


def test_a_lost_answer_is_asked_for_again_and_makes_no_second_job(
    lossy: LosesReplies,
) -> None:
    handles = add.delay_many([(1,), (2,)])

    assert lossy.lost == 1
    assert sent() == [1, 2]
    assert handles[0].status() is JobStatus.PENDING


def test_a_lost_answer_is_asked_for_again_by_the_async_twin(
    lossy: LosesReplies,
) -> None:
    asyncio.run(add.adelay(1))

    assert lossy.lost == 1
    assert sent() == [1]
