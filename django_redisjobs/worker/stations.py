"""A station is one worker id in one group, from registration to lost lease.

A child that serves queues of several groups has one in each, under the same id.
When a lease is lost all stations are left behind together with what they held:
outcomes that arrive at an old one are void.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from django_redisjobs import conf
from django_redisjobs.core.consumer import Consumer, Exchange, Room
from django_redisjobs.core.exceptions import LeaseLost, SchemaMismatch
from django_redisjobs.core.flights import Depart
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.scripts import Client
from django_redisjobs.core.settlements import Settlement

from .memory import code_of, code_of_call
from .trouble import TROUBLE


@dataclass(frozen=True, slots=True)
class Post:
    """One group of a worker's queues. ``number``: its place among the groups."""

    number: int
    keys: GroupKeys
    queues: tuple[str, ...]


def posts(queues: Sequence[str]) -> list[Post]:
    """The groups of these queues, in order of the first queue of each.

    Raises:
        UnknownQueue: a queue is not in the settings.
    """
    grouped: dict[GroupKeys, list[str]] = {}
    for queue in dict.fromkeys(queues):
        grouped.setdefault(conf.keys_for(queue), []).append(queue)
    return [
        Post(number, keys, tuple(names))
        for number, (keys, names) in enumerate(grouped.items())
    ]


class Station:
    """Claims from one group, and carries back what came of it.

    ``lease_ms``: by default as the settings say.
    """

    def __init__(
        self,
        post: Post,
        client: Client,
        worker: str,
        generation: int,
        *,
        lease_ms: int | None = None,
    ) -> None:
        settings = conf.get_settings()
        self.post = post
        self.worker = worker
        self.generation = generation
        self.alive = True
        self.clock_ms = 0.0
        self.outcomes: deque[Settlement] = deque()
        self._repeated: set[str] = set()
        self._lock = threading.RLock()
        # What is settled by the exchange under way, and what came of it when nobody
        # asked yet.
        self._launched: list[Settlement] | None = None
        self._landed: Exchange | None = None
        self._consumer = Consumer(
            client,
            post.keys,
            worker,
            post.queues,
            lease_ms=lease_ms or settings.lease_ms,
            keep=settings.keep,
            max_crashes=settings.max_crashes,
        )

    @property
    def wake_keys(self) -> list[str]:
        return self._consumer.wake_keys

    @property
    def held(self) -> int:
        """Entries that Redis has under this worker id, as far as known."""
        return self._consumer.held

    def register(self, info: Mapping[str, str]) -> None:
        before = time.monotonic()
        self._set_clock(self._consumer.register(info), before)

    def exchange(
        self, *, want: int, fresh: bool, ahead: Room | None = None
    ) -> Exchange:
        """Settle what has ended, and claim. Whoever calls, nothing is lost or sent
        twice: what could not be sent waits for the next call.

        ``ahead``: the next exchange is sent as soon as this one gave all that was
        wanted; ``land`` gives what came of it.
        Raises LeaseLost, after which the station is void, SchemaMismatch, and redis-py's
        errors.
        """
        with self._lock:
            self._arrive()
            batch = self._take(len(self.outcomes))
            exchange = self._consumer.exchange
            call = partial(exchange, batch, want=want, fresh=fresh, ahead=ahead)
            return self._concluded(batch, call, going_on=0)

    def wait_written(self) -> None:
        """Until others have written what they took from here. What is under way behind a
        block is not waited for, but that takes nothing along.
        """
        with self._lock:
            if self._launched:
                self._arrive()

    def launch_behind(self, depart: Depart, *, want: int, fresh: bool) -> None:
        """Launch an exchange that begins when what blocks before it is over.

        For who has nothing to settle and calls nothing else before it has landed.
        """
        with self._lock:
            self._consumer.launch(depart, want=want, fresh=fresh)
            self._launched = []

    def recall(self) -> None:
        """Do not wait for what was launched; the next exchange finds out what came."""
        with self._lock:
            if self._launched is not None:
                batch, self._launched = self._launched, None
                self._consumer.abandon()
                self._keep_for_later(batch)

    def land(self, ahead: Room | None = None) -> Exchange | None:
        """What came of the exchange under way; None without one, when it failed in
        another thread, or when it is behind a block. Otherwise as ``exchange``.
        """
        with self._lock:
            self._arrive(ahead)
            landed, self._landed = self._landed, None
            return landed

    def _arrive(self, ahead: Room | None = None) -> None:
        # Who sleeps reads the reply to the block first: to read here would take it away.
        if self._launched is not None and not self._consumer.is_behind:
            batch, self._launched = self._launched, None
            # They stay where they are: it is not known yet whether they go on with it.
            # By their places: others may add meanwhile, of which an iterator complains.
            going_on = len(self.outcomes) if ahead else 0
            onward = [self.outcomes[place] for place in range(going_on)]
            call = partial(self._consumer.land, onward, ahead)
            # Who claims next hears of a later version; it may be another thread that lands.
            with suppress(SchemaMismatch):
                self._landed = self._concluded(batch, call, going_on=going_on)

    def _concluded(
        self, batch: list[Settlement], call: Callable[[], Exchange], *, going_on: int
    ) -> Exchange:
        """``going_on``: so many of the outcomes go with what is sent ahead, if it is."""
        try:
            exchange = call()
        except LeaseLost:
            self.abandon()
            raise
        except TROUBLE:
            self._keep_for_later(batch)
            raise
        self._set_clock(exchange.server_ms, exchange.asked_at)
        if exchange.refused:
            exchange.refused = self._truly_late(exchange.refused, batch)
        self._repeated.clear()
        if exchange.next_call:
            self._launched = self._take(going_on)
        return exchange

    def _keep_for_later(self, batch: list[Settlement]) -> None:
        # It may have been applied; then saying it again is refused, rightly.
        self._repeated.update(each.job.token for each in batch)
        self.outcomes.extendleft(reversed(batch))

    def _truly_late(
        self, refused: Sequence[str], batch: Sequence[Settlement]
    ) -> tuple[str, ...]:
        """Those outcomes that changed nothing because somebody else was first."""
        ends = {each.job.token for each in batch if each.kind != "note"}
        return tuple(
            token for token in refused if token in ends and token not in self._repeated
        )

    def abandon(self) -> None:
        """Everything held is void: others may run it."""
        with self._lock:
            self.alive = False
            self.outcomes.clear()
            self._consumer.abandon()
            self._launched = self._landed = None

    def milliseconds(self, monotonic: float) -> int:
        """The server's time at a moment of this process's clock."""
        return int(monotonic * 1000.0 + self.clock_ms)

    def code_of(self, token: str) -> int:
        return code_of(token, self.post.number)

    def code_of_call(self, call: int) -> int:
        return code_of_call(call, self.post.number)

    def _take(self, number: int) -> list[Settlement]:
        # Whoever holds the lock is the only one who takes; others may add meanwhile.
        return [self.outcomes.popleft() for _ in range(number)]

    def _set_clock(self, server_ms: int, before: float) -> None:
        # The time before the call: so no job seems to start before its claim.
        self.clock_ms = server_ms - before * 1000.0
