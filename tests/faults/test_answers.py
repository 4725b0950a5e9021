"""Servers that answer, but not as asked: workers wait and go on, nothing is lost, none
runs twice, and who enqueues is told what to do.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import override_settings

from django_redisjobs import connections
from django_redisjobs.exceptions import EnqueueError
from tests.faults.harness import QUEUES, Site
from tests.faults.jobs import work
from tests.faults.proxy import Message, Proxy

State = Callable[[Site], AbstractContextManager[None]]


@contextlib.contextmanager
def replica(site: Site) -> Iterator[None]:
    site.client.replicaof("127.0.0.1", "1")
    yield
    site.client.replicaof("NO", "ONE")


@contextlib.contextmanager
def full(site: Site) -> Iterator[None]:
    site.client.config_set("maxmemory", 1)
    yield
    site.client.config_set("maxmemory", 0)


@contextlib.contextmanager
def disk_failing(site: Site) -> Iterator[None]:
    """A snapshot cannot be written: a folder is in its place."""

    def save(status: str) -> None:
        def saved() -> bool:
            with contextlib.suppress(redis.ResponseError):  # one is under way
                site.client.bgsave()
            info: Any = site.client.info("persistence")
            return bool(info["rdb_last_bgsave_status"] == status)

        site.until(saved, f"a snapshot is {status}")

    obstacle = Path(site.server.folder, "dump.rdb", "in the way")
    obstacle.mkdir(parents=True)
    site.client.config_set("save", "3600 1")
    save("err")
    yield
    obstacle.rmdir()
    obstacle.parent.rmdir()
    save("ok")


@contextlib.contextmanager
def busy(site: Site) -> Iterator[None]:
    """Somebody's script does not end."""
    limit = "lua-time-limit"
    site.client.config_set(limit, 50)

    def loop() -> None:
        with (
            site.server.client(socket_timeout=None) as client,
            contextlib.suppress(redis.ResponseError),
        ):
            client.eval("while true do end", 0)

    def is_busy() -> bool:
        try:
            site.client.ping()
        except redis.ResponseError as error:
            return str(error).startswith("BUSY")
        return False

    thread = threading.Thread(target=loop)
    thread.start()
    site.until(is_busy, "the server is busy")
    yield
    site.client.script_kill()
    thread.join()


@contextlib.contextmanager
def locked(site: Site) -> Iterator[None]:
    """It wants a password all of a sudden, also of those who are connected."""
    site.client.config_set("requirepass", "secret")
    # Redis 5 wants it of this connection, too.
    site.client.execute_command("AUTH", "secret")
    me = site.client.client_id()
    for each in site.client.client_list():
        if int(each["id"]) != me:
            with contextlib.suppress(redis.ResponseError):  # gone by itself
                site.client.client_kill_filter(_id=each["id"])
    yield
    site.client.config_set("requirepass", "")


STATES = {
    "READONLY": replica,
    "OOM": full,
    "MISCONF": disk_failing,
    "BUSY": busy,
    "NOAUTH": locked,
}
# What servers say in states that take long to bring about, or that some of them do not
# know within scripts.
TEXTS = {
    "NOREPLICAS": "NOREPLICAS Not enough good replicas to write.",
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "CLUSTERDOWN": "CLUSTERDOWN The cluster is down",
    "TRYAGAIN": "TRYAGAIN Multiple keys request during rehashing of slot",
    "MASTERDOWN": "MASTERDOWN Link with MASTER is down and replica-serve-stale-data "
    "is set to 'no'.",
    "WRONGPASS": "WRONGPASS invalid username-password pair or user is disabled.",
    "NOPERM": "NOPERM this user has no permissions to run the 'evalsha' command",
}
ADVICE = {
    "READONLY": "let REDISJOBS['URL'] name the primary",
    "OOM": "raise maxmemory",
    "MISCONF": "cannot write to its disk",
    "BUSY": "busy with a script",
    "NOREPLICAS": "too few replicas",
    "NOAUTH": "wants a password",
    "LOADING": "loading its data",
    "CLUSTERDOWN": "slots that nobody serves",
    "TRYAGAIN": "try again in a moment",
    "MASTERDOWN": "wait for the failover",
    "WRONGPASS": "refuses the user or the password",
    "NOPERM": "ACL does not let this user",
}


@contextlib.contextmanager
def saying(proxy: Proxy, text: str) -> Iterator[None]:
    def answer(message: Message) -> bytes:
        return f"-{text}\r\n".encode()

    proxy.before = answer
    yield
    proxy.calm()


@contextlib.contextmanager
def answering(word: str, site: Site, proxy: Proxy) -> Iterator[None]:
    """While this lasts the server answers with that word."""
    state = saying(proxy, TEXTS[word]) if word in TEXTS else STATES[word](site)
    with state:
        yield


@pytest.fixture
def behind_proxy(open_site: Callable[..., Site], proxy: Proxy) -> Site:
    # Nothing befalls a worker here: the checker takes any second run for an error.
    return open_site(lease=30.0, url=proxy.url)


@pytest.mark.parametrize("word", ADVICE)
def test_who_enqueues_is_told_what_to_do(
    behind_proxy: Site, proxy: Proxy, word: str
) -> None:
    settings = {"URL": proxy.url, "QUEUES": list(QUEUES)}
    with override_settings(REDISJOBS=settings):
        work.delay(0, 0)
        with (
            answering(word, behind_proxy, proxy),
            # In doubt where it was sent before it was known that the server hung up.
            pytest.raises(EnqueueError, match="enqueued") as caught,
        ):
            work.delay(1, 0)
        connections.forget()

    assert ADVICE[word] in str(caught.value)
    assert proxy.url in str(caught.value)
    assert len(behind_proxy.stored_ids()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("word", ADVICE)
def test_workers_wait_and_go_on(behind_proxy: Site, proxy: Proxy, word: str) -> None:
    site = behind_proxy
    site.add(*[[0.02]] * 150)
    site.start_worker("--processes", "2")
    site.wait_progress(20)

    with answering(word, site, proxy):
        site.pause(1.5)

    assert not site.complaints()


def without_apart(message: Message) -> bytes | None:
    """As when one node of a Cluster is down, and others are not."""
    apart = any(word.startswith(b"redisjobs:{apart}") for word in message.words)
    return f"-{TEXTS['TRYAGAIN']}\r\n".encode() if apart else None


@pytest.mark.slow
def test_trouble_with_one_group_takes_no_lease_from_another(
    open_site: Callable[..., Site], proxy: Proxy
) -> None:
    site = open_site(lease=3.0)
    queues = ("apart", "default")
    site.start_worker("--processes", "1", queues=queues, url=proxy.url)
    (number,) = site.add([4 * site.lease])
    site.wait_started(number)
    site.start_worker("--processes", "1")

    proxy.before = without_apart
    site.pause(2.5 * site.lease)
    proxy.calm()

    assert not site.complaints()
    assert site.history().reruns == 0


@pytest.mark.slow
def test_trouble_with_one_group_keeps_nobody_from_the_jobs_of_another(
    open_site: Callable[..., Site], proxy: Proxy
) -> None:
    site = open_site(lease=8.0)
    queues = ("apart", "default")
    worker = site.start_worker("--processes", "1", queues=queues, url=proxy.url)
    (first,) = site.add([0.0])
    site.wait_started(first)
    liaison = site.liaison(worker)

    proxy.before = without_apart
    # Longer than the lease that nobody renews.
    site.pause(1.5 * site.lease)
    (second,) = site.add([3.0])
    site.wait_started(second, limit=site.lease)

    # What a dead process held comes back without waiting for its lease, which is fresh.
    site.start_worker("--processes", "1")
    site.wait_ready()
    site.kill([one for one in site.family(worker) if one != liaison])
    site.wait_started(second, run=2, limit=site.lease / 2)
    proxy.calm()

    assert not site.complaints()


@contextlib.contextmanager
def hanging(proxy: Proxy, *queues: str) -> Iterator[None]:
    """As when the node of a Cluster hangs that has these groups: what is sent stays there.

    But for blocks: of a Cluster there is one for each node, here one for all groups.
    """
    over = threading.Event()
    bases = tuple(f"redisjobs:{{{queue}}}".encode() for queue in queues)

    def hold(message: Message) -> None:
        is_of_them = any(word.startswith(bases) for word in message.words)
        if is_of_them and message.name != "BLPOP":
            over.wait(60)

    proxy.before = hold
    try:
        yield
    finally:
        over.set()
        proxy.calm()


APART = ("apart1", "apart2", "apart3", "apart4", "apart5")
MORE_GROUPS = {
    "FAULTS_QUEUES": json.dumps({queue: {"GROUP": queue} for queue in APART})
}


@pytest.mark.slow
def test_groups_that_hang_take_no_lease_from_another(
    open_site: Callable[..., Site], proxy: Proxy
) -> None:
    # A call may take ten seconds, which is longer than a lease.
    site = open_site(lease=3.0, environment=MORE_GROUPS)
    queues = (*APART, "default")
    site.start_worker("--processes", "1", queues=queues, url=proxy.url)
    (number,) = site.add([4 * site.lease])
    site.wait_started(number)
    site.start_worker("--processes", "1")

    with hanging(proxy, *APART):
        site.pause(2.5 * site.lease)

    assert not site.complaints()
    assert site.history().reruns == 0


@pytest.mark.slow
def test_nothing_is_killed_for_groups_that_hang_one_after_the_other(
    open_site: Callable[..., Site],
) -> None:
    limits = (
        *("waiting.LONGEST_SECONDS=1", "beats.LONGEST_INTERVAL_SECONDS=1"),
        *("holdings.STEP_SECONDS=4", "liaison.TURN_SECONDS=4"),
    )
    patches = " ".join(f"django_redisjobs.worker.{each}" for each in limits)
    patient = {"FAULTS_TIMEOUT": "1", "FAULTS_PATCHES": patches}
    # Far less than half of its lease is what befalls it.
    site = open_site(lease=40.0, environment={**patient, **MORE_GROUPS})
    site.start_worker("--threads", "2", "--processes", "1", queues=(*APART, "default"))
    (number,) = site.add([14.0])
    site.wait_started(number)

    def sleep() -> bool:
        return sum(each["cmd"] == "blpop" for each in site.client.client_list()) == 2

    # Who is only about to has its longer timeout, which is not that of calls.
    site.until(sleep, "the process and its liaison sleep")
    # Each takes six calls of a second to ask all groups.
    site.server.process.send_signal(signal.SIGSTOP)
    site.pause(13.0)
    site.server.process.send_signal(signal.SIGCONT)

    assert not site.complaints()
    assert "killed" not in site.log()
