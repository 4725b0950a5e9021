"""Renewing the leases of children, in all groups, and hearing what people ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import redis

from django_redisjobs import conf
from django_redisjobs.core.presence import beat
from django_redisjobs.core.scripts import Client, perform

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


class Beats:
    """One call a group for all children of a supervisor.

    ``interval``: seconds between two. ``patience``: between two tries, at most.
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
        be on a node of its own, takes no lease from the others.
        """
        workers = self.workers()
        heard = Heard()
        lost: set[str] = set()
        memory = {
            worker: resident_bytes(int(board.cells[PID]))
            for worker, board in workers.items()
            if board.cells[PID]
        }
        renewed: dict[Post, float] = {}
        for post in self._posts:
            conversation = beat(
                post.keys,
                list(workers),
                queues=post.queues,
                lease_ms=self._lease_ms,
                max_crashes=self._max_crashes,
                keep=self._keep,
                memory=memory,
            )
            before = monotonic()
            try:
                result = perform(client, conversation)
            except TROUBLE as error:
                heard.troubles[post] = error
                continue
            renewed[post] = before + self._trusted_seconds
            lost.update(result.lost)
            for worker, texts in result.messages.items():
                heard.messages += [(worker, text) for text in texts]
            heard.others[post] = result.others
            heard.parked[post] = result.parked
        for worker, board in workers.items():
            # It may have begun anew meanwhile: then this is not about it.
            if board.worker != worker:
                continue
            for post, until in renewed.items():
                # Who has lost one begins anew in all groups.
                board.leases[post.number] = 0.0 if worker in lost else until
        return heard
