"""Of a paused queue nothing starts, however many want its jobs at that moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import pytest
import redis

from .places import Places
from .store import Store

Look = Callable[[], Places]
CLAIMERS = 4


class Race:
    """Workers that claim, settle and claim again, each as fast as it can."""

    def __init__(self, store: Store, clients: list[redis.Redis]) -> None:
        self._store = store
        self._over = threading.Event()
        self._laps = threading.Semaphore(0)
        self._trouble: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._claim, args=(client,)) for client in clients
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert self._trouble == []

    def run(self, laps: int = 50) -> None:
        """Wait until they have tried so often."""
        for _ in range(laps):
            assert self._laps.acquire(timeout=60)

    def _claim(self, client: redis.Redis) -> None:
        try:
            worker = self._store.worker(client=client)
            while not self._over.is_set():
                worker.settle(*worker.claim(5))
                self._laps.release()
        except BaseException as error:  # noqa: BLE001 - the test tells it
            self._trouble.append(error)


@pytest.fixture
def race(store: Store, server: Any) -> Iterator[Race]:
    clients = [server.client() for _ in range(CLAIMERS)]
    with Race(store, clients) as running:
        yield running
    for client in clients:
        client.close()


def waiting(store: Store) -> set[str]:
    """What waits at one moment, in the order of no list."""
    keys = store.keys
    with store.client.pipeline(transaction=True) as pipeline:
        pipeline.lrange(keys.pending("q"), 0, -1)
        pipeline.zrange(keys.priority("q"), 0, -1)
        pipeline.zrange(keys.scheduled("q"), 0, -1)
        return {raw.decode() for found in pipeline.execute() for raw in found}


def test_nothing_starts_once_the_pause_has_returned(
    store: Store, race: Race, look: Look
) -> None:
    for level in (0, 7, -7):
        store.add(number=500, priority=level)
    delayed = store.add(number=50, delay_ms=60_000)
    race.run()

    store.pause()

    before = waiting(store)
    assert len(before) > len(delayed), "all was done before the pause"
    # Neither what comes in now, nor what falls due.
    before.update(store.add(number=5))
    store.make_due(*delayed)
    race.run(100)
    assert waiting(store) == before
    assert store.client.zcard(store.keys.scheduled("q")) == 0

    store.resume()
    race.run(100)
    assert waiting(store) < before
    race.stop()
    look()
