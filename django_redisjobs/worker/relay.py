"""Sending what stayed in the outbox: who committed died, or could not reach Redis.

A thread beside the liaison's: a database that hangs must not keep it from renewing
leases.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Final

import redis
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.db import connections as databases

from django_redisjobs import conf, connections, outbox, registry
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.payload import parse_body
from django_redisjobs.core.producer import enqueue
from django_redisjobs.core.records import NewJob
from django_redisjobs.core.scripts import perform
from django_redisjobs.delivery import Outgoing, announce, chunks, jobs_of
from django_redisjobs.exceptions import NotAcknowledged, RedisJobsError

from .logs import listed
from .trouble import TROUBLE, Trouble

logger = logging.getLogger("redisjobs.worker")

LOOK_SECONDS: Final = 5.0
_DATABASE_TROUBLE: Final = (DatabaseError, InterfaceError)


class Relay(threading.Thread):
    """Looks at once, and then every few seconds, until it is stopped."""

    def __init__(self, name: str) -> None:
        super().__init__(name="redisjobs-relay", daemon=True)
        self._trouble = Trouble(f"The relay of {name}", connections.describe())
        self._over = threading.Event()
        self._ailing: dict[str, str] = {}

    def stop(self) -> None:
        """End after the present look. The first one is always finished."""
        self._over.set()

    def run(self) -> None:
        try:
            while True:
                try:
                    self._look()
                    close_old_connections()
                except Exception:
                    # Whatever it is, the next look may go well.
                    logger.exception("The outbox could not be looked at.")
                if self._over.wait(LOOK_SECONDS):
                    return
        finally:
            databases.close_all()

    def _look(self) -> None:
        for alias in outbox.aliases():
            try:
                while relay(alias) == outbox.MOST_TAKEN and not self._over.is_set():
                    pass
                self._trouble.over()
                self._ailing.pop(alias, None)
            except TROUBLE as error:
                self._over.wait(self._trouble.met(error))
            except NotAcknowledged as error:
                self._tell(alias, f"is sent, but not as durably as asked: {error}")
            except _DATABASE_TROUBLE as error:
                self._tell(alias, f"cannot be read: {str(error).strip()}")

    def _tell(self, alias: str, words: str) -> None:
        """Once for each trouble: a database may have no outbox, and need none."""
        if self._ailing.get(alias) != words:
            self._ailing[alias] = words
            logger.warning("The outbox of database %r %s", alias, words)


def relay(alias: str, without: frozenset[str] = frozenset()) -> int:
    """Send what stayed in the outbox of one database; gives how many rows it took. Those
    of the queues ``without`` stay.

    Raises redis-py's and the database's errors: the rows are free again then, or will
    be soon. Redis-py's and NotAcknowledged are raised when all others have been sent.
    """
    failure: NotAcknowledged | redis.RedisError | OSError | None = None
    taker = outbox.new_taker()
    jobs = outbox.take(alias, taker, without)
    waiting = {job.id for job in jobs}
    try:
        # Each alone: Redis tells by place which ones it knew.
        batch = [
            Outgoing([job], job.queue, conf.keys_for(job.queue), None) for job in jobs
        ]
        for keys, durability, chunk in chunks(batch):
            sent = jobs_of(chunk)
            try:
                conversation = enqueue(keys, sent, durability)
                known = set(perform(connections.client(), conversation))
            except (NotAcknowledged, *TROUBLE) as error:
                # Another group may be on a node that is there.
                failure = error
                without |= _queues_of(keys)
                continue
            ids = [job.id for job in sent]
            outbox.drop(ids, alias, taker)
            waiting.difference_update(ids)
            new = [each for place, each in enumerate(chunk) if place not in known]
            announce(list(_known(new)))
            _tell(alias, jobs_of(new))
    finally:
        if waiting:
            outbox.give_back(waiting, alias, taker)
    if failure is not None:
        if len(jobs) == outbox.MOST_TAKEN:
            # Theirs stand before all others each time.
            relay(alias, without)
        raise failure
    return len(jobs)


def _queues_of(keys: GroupKeys) -> frozenset[str]:
    queues = conf.get_settings().queues
    return frozenset(queue for queue in queues if conf.keys_for(queue) == keys)


def _known(batch: Sequence[Outgoing]) -> Iterator[Outgoing]:
    """Those whose function this build knows: receivers are told of it, too."""
    for each in batch:
        (job,) = each.jobs
        try:
            sender = registry.resolve(parse_body(job.body).function)
        except RedisJobsError:
            continue
        yield each._replace(sender=sender)


def _tell(alias: str, jobs: Sequence[NewJob]) -> None:
    if jobs:
        logger.warning(
            "Sent %s that had stayed in the outbox of database %r: %s",
            "1 job" if len(jobs) == 1 else f"{len(jobs):,} jobs",
            alias,
            listed([job.id for job in jobs]),
        )
