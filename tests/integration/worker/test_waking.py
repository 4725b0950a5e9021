"""A sleeping worker's claim waits in the server, behind the block that wakes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
import redis

from django_redisjobs import JobStatus, connections
from django_redisjobs.core.settlements import Settlement
from django_redisjobs.worker import waiting
from django_redisjobs.worker.bells import Bell
from django_redisjobs.worker.stations import Station
from django_redisjobs.worker.waiting import SocketWaiter, make_waiter
from tests.integration.worker import jobs
from tests.integration.worker.conftest import new_station, sleepers, until

pytestmark = pytest.mark.usefixtures("redisjobs")


@pytest.fixture
def station() -> Iterator[Station]:
    made = new_station("waking:1")
    # Nobody sleeps before they have claimed: the server knows the script.
    assert made.exchange(want=1, fresh=True).jobs == []
    yield made
    for job in made.exchange(want=9, fresh=True).jobs:
        made.outcomes.append(Settlement("succeeded", job))
    made.exchange(want=0, fresh=True)


@pytest.fixture
def waiter() -> Iterator[SocketWaiter]:
    made = make_waiter(connections.worker_client(), connections.blocking_client())
    assert isinstance(made, SocketWaiter)
    yield made
    made.close()


class Sleeper(threading.Thread):
    """Sleeps with a claim behind it; ``popped`` is what woke it."""

    def __init__(self, waiter: SocketWaiter, station: Station) -> None:
        super().__init__(daemon=True)
        self._waiter = waiter
        self._station = station
        self.bell = Bell()
        self.popped: Any = "nothing yet"
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.popped = self._waiter.wait(
                self._station.wake_keys, 5, [self.bell.fileno()], self._errand
            )
        except redis.RedisError as error:
            self.error = error

    def _errand(self, depart: Any) -> None:
        self._station.launch_behind(depart, want=3, fresh=True)

    def until_asleep(self, client: redis.Redis) -> None:
        until(lambda: sleepers(client))


def calls(client: redis.Redis) -> int:
    statistics: Any = client.info("commandstats")
    return int(statistics["cmdstat_evalsha"]["calls"])


@pytest.fixture
def sleeper(
    waiter: SocketWaiter, station: Station, client: redis.Redis
) -> Iterator[Sleeper]:
    made = Sleeper(waiter, station)
    made.start()
    made.until_asleep(client)
    yield made
    made.bell.ring()
    made.join(10)


def test_it_is_woken_with_its_job(
    sleeper: Sleeper, station: Station, client: redis.Redis
) -> None:
    asleep_at = monotonic()
    handle = jobs.add.delay(1, 2)
    until(lambda: handle.status() is JobStatus.RUNNING)
    sleeper.join(10)
    before = calls(client)

    exchange = station.land()

    assert exchange is not None
    # For how long it slept before says nothing of the server's clock.
    assert exchange.asked_at > asleep_at
    assert [job.id for job in exchange.jobs] == [handle.id]
    assert calls(client) == before
    station.outcomes.append(Settlement("succeeded", exchange.jobs[0]))


def test_nobody_else_reads_what_is_behind_the_block(
    sleeper: Sleeper, station: Station
) -> None:
    """As the keeper might, that found a job stuck which has ended since."""
    assert station.land() is None

    handle = jobs.add.delay(1, 2)
    sleeper.join(10)

    assert sleeper.error is None
    assert sleeper.popped is not None
    exchange = station.land()
    assert exchange is not None
    assert [job.id for job in exchange.jobs] == [handle.id]


def test_a_bell_brings_the_answer_too(sleeper: Sleeper, station: Station) -> None:
    sleeper.bell.ring()
    sleeper.join(10)

    exchange = station.land()

    assert sleeper.popped is None
    assert exchange is not None
    assert exchange.jobs == []


def test_a_connection_that_went_silent_is_not_read_for_long(
    waiter: SocketWaiter, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere:
        """The server says over another connection that it has answered on this one."""

        def execute_command(self, *_words: object) -> int:
            return 1

    monkeypatch.setattr(waiting, "_ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(waiter, "_client", Elsewhere())
    descriptor = waiter.begin(station.wake_keys, 9)

    with pytest.raises(redis.TimeoutError, match="gone silent"):
        waiter.unblock(descriptor)


def test_a_block_that_never_arrives_is_given_up_after_few_questions(
    waiter: SocketWaiter, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere:
        """The server knows nothing of a block, wherever that is."""

        asked = 0

        def execute_command(self, *_words: object) -> int:
            self.asked += 1
            return 0

    server = Elsewhere()
    monkeypatch.setattr(waiter, "_client", server)
    descriptor = waiter.begin(station.wake_keys, 9)

    with pytest.raises(redis.ConnectionError, match="does not know"):
        waiter.unblock(descriptor)
    # Each may take as long as the way to a server far away.
    assert server.asked <= 10


def test_a_flushed_script_is_sent_again(
    sleeper: Sleeper, station: Station, client: redis.Redis
) -> None:
    client.script_flush()
    handle = jobs.add.delay(1, 2)
    sleeper.join(10)

    exchange = station.land()

    assert exchange is not None
    assert [job.id for job in exchange.jobs] == [handle.id]
    station.outcomes.append(Settlement("succeeded", exchange.jobs[0]))


def test_a_cut_connection_costs_no_job(
    sleeper: Sleeper, station: Station, waiter: SocketWaiter, client: redis.Redis
) -> None:
    (one,) = sleepers(client)
    client.client_kill_filter(_id=one["id"])
    sleeper.join(10)
    assert isinstance(sleeper.error, redis.ConnectionError)
    station.recall()
    handle = jobs.add.delay(1, 2)

    exchange = station.exchange(want=3, fresh=True)

    assert [job.id for job in exchange.jobs] == [handle.id]
    station.outcomes.append(Settlement("succeeded", exchange.jobs[0]))
    again = Sleeper(waiter, station)
    again.start()
    again.join(10)
    assert again.error is None
    assert again.popped is not None
    assert station.land() is not None


def test_an_answer_that_was_lost_is_made_good(
    sleeper: Sleeper, station: Station, waiter: SocketWaiter
) -> None:
    """The server claimed, and the connection was cut before that was heard."""
    handle = jobs.add.delay(1, 2)
    until(lambda: handle.status() is JobStatus.RUNNING)
    sleeper.join(10)
    waiter.close()
    station.recall()

    exchange = station.exchange(want=3, fresh=True)

    assert [job.id for job in exchange.jobs] == [handle.id]
    station.outcomes.append(Settlement("succeeded", exchange.jobs[0]))
