"""Renewing the leases of children, in all groups, and hearing what people ask."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final

import redis

from django_redisjobs import conf, connections
from django_redisjobs.core.presence import Beat, beat
from django_redisjobs.core.scripts import Client, Conversation, perform

from .holdings import trusted_seconds
from .machine import resident_bytes
from .memory import PID, Board
from .stations import Post
from .trouble import LONGEST_SECONDS, TROUBLE

BEATS_A_LEASE: Final = 5

# However long a lease is: dead workers of this machine are found as soon as that.
LONGEST_INTERVAL_SECONDS: Final = 10.0


@dataclass(slots=True)
class Heard:
    """What the answers to one round of beats said.

    ``messages``: (worker, message) pairs. ``others``: ids of other workers by group.
    ``parked``: queues with parked jobs by group. ``troubles``: why groups gave no answer.
    """

    messages: list[tuple[str, str]] = field(default_factory=list)
    others: dict[Post, tuple[str, ...]] = field(default_factory=dict)
    parked: dict[Post, tuple[str, ...]] = field(default_factory=dict)
    troubles: dict[Post, redis.RedisError | OSError] = field(default_factory=dict)


@dataclass(slots=True)
class _Call:
    """What one group is asked, of these workers; then its answer, or why there is none."""

    post: Post
    workers: Mapping[str, Board]
    conversation: Conversation[Beat]
    asked_at: float = 0.0
    answer: Beat | None = None
    error: BaseException | None = None


class Beats:
    """One call a group for all children of a supervisor.

    ``interval``: seconds between two, and for which answers are waited for where there
    are several groups. ``patience``: between two tries, at most.
    """

    def __init__(self, posts: Sequence[Post], boards: Sequence[Board]) -> None:
        settings = conf.get_settings()
        self._posts = posts
        self._boards = boards
        self._lease_ms = settings.lease_ms
        self._max_crashes = settings.max_crashes
        self._keep = settings.keep
        self._trusted_seconds = trusted_seconds(settings.lease_ms / 1000)
        # While Redis is away nobody's lease is renewed, and only beyond half a lease is
        # everybody given a new one. So what is left then has to be enough to come back.
        self.interval = min(
            LONGEST_INTERVAL_SECONDS, settings.lease_ms / 1000 / BEATS_A_LEASE
        )
        self.patience = min(LONGEST_SECONDS, self.interval / BEATS_A_LEASE)
        self._lost: set[str] = set()
        # Groups that have not answered yet, and the calls that are over.
        self._asked: set[Post] = set()
        # Groups whose answer was waited for in vain, until they give one.
        self._silent: set[Post] = set()
        self._over: SimpleQueue[_Call] = SimpleQueue()
        # As many as may be asked at the same time: as there may be connections, but for
        # two, which others of this process may need.
        pool = connections.worker_client().connection_pool
        self._places = threading.Semaphore(max(1, pool.max_connections - 2))

    def workers(self) -> dict[str, Board]:
        """The children that Redis knows, by worker id."""
        return {board.worker: board for board in self._boards if board.registered}

    def control_keys(self) -> list[str]:
        """The lists on which messages for the children arrive."""
        return [
            post.keys.control(worker)
            for worker in self.workers()
            for post in self._posts
        ]

    def renew(self, client: Client) -> Heard:
        """Renew all leases; gives what was heard. Trouble with one group, whose slot may
        be on a node of its own, takes no lease from the others: all are asked at the same
        time, and one that hangs is not waited for twice, nor asked anew before it has
        answered or failed.
        """
        heard = Heard()
        # First what came late: those groups are asked again.
        self._hear(heard, set(), 0.0)
        asked = set()
        for call in self._calls():
            self._asked.add(call.post)
            asked.add(call.post)
            self._launch(client, call)
        self._hear(heard, asked - self._silent, monotonic() + self.interval)
        self._silent |= self._asked
        for post in self._asked:
            heard.troubles.setdefault(post, redis.TimeoutError("No answer yet"))
        return heard

    def _calls(self) -> list[_Call]:
        """Of all groups that are not asked already."""
        workers = self.workers()
        self._lost.intersection_update(workers)
        memory = {
            worker: resident_bytes(int(board.cells[PID]))
            for worker, board in workers.items()
            if board.cells[PID]
        }
        return [
            _Call(
                post,
                workers,
                beat(
                    post.keys,
                    list(workers),
                    queues=post.queues,
                    lease_ms=self._lease_ms,
                    max_crashes=self._max_crashes,
                    keep=self._keep,
                    memory=memory,
                ),
            )
            for post in self._posts
            if post not in self._asked
        ]

    def _launch(self, client: Client, call: _Call) -> None:
        # No command whose reply is read later: to connect to a server that hangs, or to
        # find out who serves a slot, takes as long as to wait for an answer.
        thread = threading.Thread(
            target=self._perform,
            args=(client, call),
            name="redisjobs-beat",
            daemon=True,
        )
        if len(self._posts) > 1:
            # The system may grant no more threads: then here.
            with suppress(RuntimeError):
                thread.start()
                return
        self._perform(client, call)

    def _perform(self, client: Client, call: _Call) -> None:
        try:
            with self._places:
                call.asked_at = monotonic()
                call.answer = perform(client, call.conversation)
        except BaseException as error:  # noqa: BLE001 - raised by who hears of it
            call.error = error
        self._over.put(call)

    def _hear(self, heard: Heard, awaited: set[Post], until: float) -> None:
        """Take in what answers, until all who are ``awaited`` have."""
        while True:
            seconds = max(0.0, until - monotonic()) if awaited else 0.0
            try:
                call = self._over.get(timeout=seconds)
            except Empty:
                return
            awaited.discard(call.post)
            self._asked.discard(call.post)
            self._take_in(call, heard)

    def _take_in(self, call: _Call, heard: Heard) -> None:
        post, answer = call.post, call.answer
        if isinstance(call.error, TROUBLE):
            heard.troubles[post] = call.error
            return
        if call.error is not None:
            raise call.error
        assert answer is not None
        self._silent.discard(post)
        # It may have come late, after others had given up.
        heard.troubles.pop(post, None)
        for worker, texts in answer.messages.items():
            heard.messages += [(worker, text) for text in texts]
        heard.others[post] = answer.others
        heard.parked[post] = answer.parked
        self._lost.update(answer.lost)
        for worker, board in call.workers.items():
            # It may have begun anew meanwhile: then this is not about it.
            if board.worker != worker:
                continue
            if worker in self._lost:
                # Who has lost one begins anew in all groups.
                for each in self._posts:
                    board.leases[each.number] = 0.0
            else:
                board.leases[post.number] = call.asked_at + self._trusted_seconds
