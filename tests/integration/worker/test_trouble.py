"""Redis goes away and comes back."""

from __future__ import annotations

import time

import pytest
import redis

from django_redisjobs import JobStatus, conf
from django_redisjobs.worker import memory as shared
from django_redisjobs.worker.liaison import Liaison
from django_redisjobs.worker.stations import posts
from django_redisjobs.worker.waiting import SocketWaiter
from tests.integration.worker import jobs
from tests.integration.worker.conftest import until

SUCCEEDED = JobStatus.SUCCEEDED


def test_a_restart_in_the_middle_loses_nothing(own_server, start):
    server, settings = own_server
    worker = start(processes=2, settings=settings)
    handles = [jobs.nap.delay(0.02, str(number)) for number in range(150)]
    handles[20].wait(timeout=60)

    server.kill()
    until(lambda: "cannot use Redis" in worker.output)
    server.start()
    until(lambda: "is back on Redis" in worker.output)

    for number, handle in enumerate(handles):
        assert handle.result(timeout=60) == str(number)
        assert handle.info().crashes == 0
    assert worker.stop() == 0


def test_a_worker_waits_for_a_redis_that_is_not_there_yet(own_server, start):
    server, settings = own_server
    server.kill()
    worker = start(settings=settings)
    until(lambda: "cannot use Redis" in worker.output)

    server.start()

    assert jobs.add.delay(1, 1).result(timeout=60) == 2
    assert worker.stop() == 0


def test_a_worker_that_met_no_redis_does_not_say_that_it_is_back(own_server, start):
    server, settings = own_server
    server.kill()
    worker = start(settings=settings)
    until(lambda: "Worker process" in worker.output)
    assert "cannot use Redis" in worker.output

    assert worker.stop() == 0

    assert "is back" not in worker.output


def test_a_worker_takes_nothing_of_what_a_later_version_has_changed(
    start, client, prefix
):
    schema = conf.keys_for("default").schema
    client.set(schema, "2")
    handle = jobs.add.delay(1, 1)
    worker = start()
    until(lambda: "SchemaMismatch" in worker.output)

    assert "of version '2'; this build knows 1" in worker.output
    assert handle.status() is JobStatus.PENDING
    # Say, that version is rolled back.
    client.set(schema, "1")
    assert handle.result(timeout=60) == 2
    assert worker.stop() == 0


def test_a_worker_that_runs_takes_nothing_more_of_a_later_version(
    start, client, prefix
):
    schema = conf.keys_for("default").schema
    worker = start(processes=1)
    running = jobs.pass_gate.delay()
    until(lambda: running.status() is JobStatus.RUNNING)
    client.set(schema, "2")
    waiting = jobs.add.delay(1, 1)
    client.rpush(f"{prefix}:gate", "open")

    running.result(timeout=60)
    until(lambda: "SchemaMismatch" in worker.output)

    assert waiting.status() is JobStatus.PENDING
    client.set(schema, "1")
    assert waiting.result(timeout=60) == 2
    assert worker.stop() == 0


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_later_version_ends_a_burst(start, client, prefix, processes):
    running = jobs.pass_gate.delay()
    waiting = jobs.add.delay(1, 1)
    words = ["--burst", "--processes", processes]
    worker = start(command=["-m", "django", "runworker", *words])
    until(lambda: running.status() is JobStatus.RUNNING)
    client.set(conf.keys_for("default").schema, "2")
    client.rpush(f"{prefix}:gate", "open")

    assert worker.wait() == 1

    assert "of version '2'" in worker.output.splitlines()[-1]
    assert running.status() is JobStatus.SUCCEEDED
    assert waiting.status() is JobStatus.PENDING


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_burst_does_not_wait_for_a_later_version(start, client, prefix, processes):
    client.set(conf.keys_for("default").schema, "2")

    words = ["--burst", "--processes", processes]
    worker = start(command=["-m", "django", "runworker", *words])

    assert worker.wait() == 1
    assert "of version '2'" in worker.output.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_burst_does_not_wait_for_redis_for_ever(own_server, start, processes):
    server, settings = own_server
    server.kill()

    worker = start(
        settings={**settings, "LEASE": 3},
        command=["-m", "django", "runworker", "--burst", "--processes", processes],
    )

    assert worker.wait() == 1
    assert "has not answered for 3" in worker.output.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_burst_that_loses_redis_ends_as_on_a_signal(own_server, start, processes):
    server, settings = own_server
    handle = jobs.nap.delay(600.0)
    words = ["--burst", "--processes", processes, "--grace", "1"]
    worker = start(
        settings={**settings, "LEASE": 3}, command=["-m", "django", "runworker", *words]
    )
    until(lambda: handle.status() is JobStatus.RUNNING)

    server.kill()

    assert worker.wait() == 1
    assert "The burst ends" in worker.output


class Line:
    """To a supervisor that says nothing."""

    def __init__(self):
        self.away = []

    def send(self, message):
        self.away.append(message["away"])


@pytest.mark.usefixtures("redisjobs")
def test_what_a_part_of_redis_still_does_is_not_ended_for_the_other_part():
    memory, line = shared.SharedMemory(1, 1), Line()
    board = memory.board(0)
    liaison = Liaison(posts(["default"]), [board], memory.common, line, "here")

    liaison._is_partly_away = True
    liaison._tell_away(100.0)
    board.cells[shared.SUCCEEDED] += 1
    liaison._tell_away(140.0)
    liaison._tell_away(175.0)
    liaison._is_partly_away = False
    board.cells[shared.SUCCEEDED] += 1
    liaison._tell_away(180.0)

    assert line.away == [0, 0, 35, 40]


@pytest.mark.slow
def test_a_worker_stops_though_redis_is_away(own_server, start):
    server, settings = own_server
    worker = start(settings=settings)
    assert jobs.add.delay(1, 1).result(timeout=60) == 2
    server.kill()
    before = time.monotonic()

    assert worker.stop() == 0

    # Not when its patience ends, which takes longer than the grace of 25 seconds.
    assert time.monotonic() - before < 25


def test_scripts_may_be_flushed_at_any_time(own_server, start):
    server, settings = own_server
    start(settings=settings)

    with server.client() as client:
        for number in range(10):
            client.script_flush()
            assert jobs.add.delay(number, 1).result(timeout=60) == number + 1


def test_a_full_redis_still_lets_work_drain(own_server, start):
    server, settings = own_server
    handles = jobs.add.delay_many([(number, 1) for number in range(100)])
    with server.client() as client:
        client.config_set("maxmemory", 1)
        start(settings=settings)
        until(lambda: all(handle.status() is SUCCEEDED for handle in handles))
        client.config_set("maxmemory", 0)
    assert [handle.result(timeout=0) for handle in handles] == list(range(1, 101))


def test_a_lost_lease_voids_what_ran_under_it(own_server, start):
    server, settings = own_server
    worker = start(settings={**settings, "LEASE": 6})
    handle = jobs.nap.delay(1.0, "once more")
    until(lambda: handle.status().value == "running")

    with server.client() as client:
        (workers,) = client.keys("*:workers")
        for each in client.zrange(workers, 0, -1):
            client.zadd(workers, {each: 1})

    assert handle.result(timeout=60) == "once more"
    assert handle.info().crashes == 1
    assert worker.stop() == 0


def test_who_waits_for_work_gives_back_what_it_took_from_a_small_pool(own_server):
    server, _ = own_server
    with server.client() as client:
        options = {**client.connection_pool.connection_kwargs, "retry": None}
        kind = client.connection_pool.connection_class
        pool = redis.ConnectionPool(connection_class=kind, max_connections=1, **options)
        waiter = SocketWaiter(client, redis.Redis(connection_pool=pool))
        assert waiter.wait(["nothing"], 0.01, []) is None
        server.kill()
        for _ in range(3):
            with pytest.raises((redis.RedisError, OSError)) as caught:
                waiter.wait(["nothing"], 0.01, [])
            assert not isinstance(caught.value, redis.exceptions.MaxConnectionsError)
        server.start()

        assert waiter.wait(["nothing"], 0.01, []) is None
        waiter.close()
