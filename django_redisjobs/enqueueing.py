"""Handing jobs to Redis: at the commit of a transaction, else at once.

Inside a transaction each ``delay`` leaves a hook with Django, which forgets the
hooks of savepoints that are rolled back. The first hook that runs sends the jobs
of all that are left, in the order of their calls, in one round trip. Those of queues
with an outbox are in the database as well: what cannot be sent then is sent later.

A *sink* takes jobs in place of Redis: a test's, or the one that EAGER asks for.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Protocol
from weakref import WeakKeyDictionary, ref

import redis
from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError
from django.db import connections as databases
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.module_loading import import_string

from django_redisjobs import conf, connections, outbox
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.producer import forget_sent
from django_redisjobs.core.scripts import perform
from django_redisjobs.delivery import (
    Outgoing,
    announce,
    asend,
    chunks,
    deliver,
    jobs_of,
    send,
)
from django_redisjobs.exceptions import EnqueueError, NotDurable

logger = logging.getLogger("redisjobs")

# Only where an object ends with its last reference do dead hooks tell themselves
# from living ones; elsewhere each hook sends its own jobs.
_GATHERS = sys.implementation.name == "cpython"


class Sink(Protocol):
    """Takes jobs in place of Redis."""

    def hold(self, outgoing: Outgoing, hook: DivertedHook) -> None:
        """They wait for a commit; ``hook`` is with Django as long as it may come."""

    def take(self, outgoing: Outgoing) -> None:
        """They would have been sent now."""


_sinks: list[Sink] = []


@contextmanager
def diverted(sink: Sink) -> Iterator[None]:
    """Have ``sink`` take all jobs of this process, also those of other threads."""
    _sinks.append(sink)
    try:
        yield
    finally:
        _sinks.remove(sink)


def current_sink() -> Sink | None:
    """Who takes jobs now; None: Redis does."""
    if _sinks:
        return _sinks[-1]
    return _eager() if conf.get_settings().eager else None


@cache
def _eager() -> Sink:
    # By name: running jobs is above this module, and only EAGER needs it here.
    sink: Sink = import_string("django_redisjobs.eager.sink")
    return sink


def hand_over(outgoing: Outgoing, *, on_commit: bool, using_db: str | None) -> None:
    """Send jobs, at commit if a transaction is open; up to 5,000 in one round trip.

    Opens no database connection to find out. In a transaction, jobs of a queue with an
    outbox are written to the database first.

    Raises:
        EnqueueError: Redis refused it or did not answer; or the database refused it;
            or it is not clear which transaction it belongs to.
    """
    database = open_transaction(using_db) if on_commit else None
    sink = current_sink()
    if sink is not None:
        _divert(sink, database, outgoing)
    elif database is None:
        send([outgoing])
    else:
        _defer(database, outgoing)


async def ahand_over(outgoing: Outgoing) -> None:
    """``hand_over`` at once, on the running event loop."""
    sink = current_sink()
    if sink is not None:
        await _adivert(sink, outgoing)
        return
    await asend([outgoing])


async def _adivert(sink: Sink, outgoing: Outgoing) -> None:
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    # It may run jobs, which may use the database.
    await sync_to_async(sink.take)(outgoing)
    if task and task.cancelling() > before:
        # It hit the job that ran here, for which that is an end like any other.
        raise asyncio.CancelledError


def open_transaction(alias: str | None) -> BaseDatabaseWrapper | None:
    """The database whose commit a job has to wait for; None if there is none.

    ``alias`` names it; else it is the default one if that is in a transaction, else
    the only other one that is. Those that a TestCase opens around each test count as
    long as there are no others: then the default one's, or the first.
    """
    if alias is not None:
        return _if_in_transaction(databases[alias])
    if len(databases.settings) == 1:
        # Nearly always. To look at those that are in use takes three times as long.
        return _if_in_transaction(databases[DEFAULT_DB_ALIAS])
    opened: list[BaseDatabaseWrapper] = []
    for database in databases.all(initialized_only=True):
        if database.alias == DEFAULT_DB_ALIAS:
            if _if_in_transaction(database):
                opened.insert(0, database)
        elif database.in_atomic_block:
            opened.append(database)
    if not opened:
        return None
    own = [database for database in opened if not is_only_of_a_test(database)]
    if len(own) > 1 and own[0].alias != DEFAULT_DB_ALIAS:
        names = ", ".join(database.alias for database in own)
        raise EnqueueError(
            f"Transactions are open on {names}: say whose commit the job waits for, "
            'as in using(using_db="...").'
        )
    return (own or opened)[0]


def is_only_of_a_test(database: BaseDatabaseWrapper) -> bool:
    """Whether all transactions that are open there are of a TestCase."""
    return all(
        getattr(block, "_from_testcase", False) for block in database.atomic_blocks
    )


def _if_in_transaction(database: BaseDatabaseWrapper) -> BaseDatabaseWrapper | None:
    if database.in_atomic_block:
        return database
    # The attribute, not get_autocommit(), which would connect.
    if database.connection is not None and not database.autocommit:
        raise EnqueueError(
            f"The database {database.alias!r} is in manual transaction management, "
            "where nobody tells of a commit. Use transaction.atomic(), or send the "
            "job at once by using(on_commit=False)."
        )
    return None


class _Hook:
    """One ``delay`` in a transaction. Only Django's list of hooks keeps it alive."""

    __slots__ = ("__weakref__", "outgoing", "peers", "place", "sent")

    def __init__(self, outgoing: Outgoing, peers: list[ref[_Hook]]) -> None:
        self.outgoing = outgoing
        self.peers = peers
        self.place = len(peers)
        self.sent = False

    def __call__(self) -> None:
        if self.sent:
            return
        waiting = list(self._with_later_ones()) if _GATHERS else [self]
        for hook in waiting:
            hook.sent = True
        _send_committed([hook.outgoing for hook in waiting])

    def _with_later_ones(self) -> Iterator[_Hook]:
        # Not the earlier ones: a test that captures hooks runs only some of them.
        for reference in self.peers[self.place :]:
            hook = reference()
            if hook is not None and not hook.sent:
                yield hook


_hooks: WeakKeyDictionary[BaseDatabaseWrapper, list[ref[_Hook]]] = WeakKeyDictionary()


def _defer(database: BaseDatabaseWrapper, outgoing: Outgoing) -> None:
    if conf.get_settings().queues[outgoing.queue].outbox:
        alias = database.alias
        outgoing = outgoing._replace(jobs=outbox.store(outgoing.jobs, alias), row=alias)
    peers = _hooks.get(database)
    if peers is None or not database.run_on_commit:
        # Django knows of no hook: whatever is listed belongs to the past.
        peers = _hooks[database] = []
    # Where a hook of somebody else's comes first, it knows of one all the time.
    while peers and peers[-1]() is None:
        peers.pop()
    hook = _Hook(outgoing, peers)
    peers.append(ref(hook))
    database.on_commit(hook)


def _send_committed(batch: Sequence[Outgoing]) -> None:
    """``send``, which fails only for those that are in no outbox."""
    if not any(each.row for each in batch):
        send(batch)
        return
    kept = [each for each in batch if each.row]
    for keys, durability, chunk in chunks(kept):
        try:
            deliver(keys, durability, chunk)
        except NotDurable as error:
            # The rows stay: a relay sends them until they are.
            logger.warning("%s It stays in the outbox until it is.", error)
            announce(chunk)
            continue
        except EnqueueError as error:
            logger.warning("%s It waits in the outbox: a worker will send it.", error)
            continue
        _clear(keys, chunk)
        announce(chunk)
    send([each for each in batch if not each.row])


def _clear(keys: GroupKeys, chunk: Sequence[Outgoing]) -> None:
    """Take what was sent out of the outbox."""
    alias = chunk[0].row
    ids = [job.id for job in jobs_of(chunk)]
    try:
        if outbox.remove(ids, alias):
            perform(connections.client(), forget_sent(keys, ids))
    except (DatabaseError, InterfaceError, redis.RedisError) as error:
        # A relay removes the rows, and the memory ends by itself.
        logger.info("What was sent is still in the outbox of %r: %s", alias, error)


class DivertedHook:
    """One ``delay`` in a transaction whose jobs a sink takes."""

    __slots__ = ("database", "outgoing", "sent", "sink")

    def __init__(
        self, sink: Sink, database: BaseDatabaseWrapper, outgoing: Outgoing
    ) -> None:
        self.sink = sink
        self.database = database
        self.outgoing = outgoing
        self.sent = False

    def __call__(self) -> None:
        if not self.sent:
            self.sent = True
            self.sink.take(self.outgoing)


def _divert(
    sink: Sink, database: BaseDatabaseWrapper | None, outgoing: Outgoing
) -> None:
    if database is None:
        sink.take(outgoing)
        return
    hook = DivertedHook(sink, database, outgoing)
    database.on_commit(hook)
    sink.hold(outgoing, hook)


def send_waiting(database: BaseDatabaseWrapper) -> None:
    """Send what waits for a commit of ``database``: for tests, where none comes.

    Not what was enqueued before its innermost transaction began, which is a test's: the
    hooks of setUpTestData are there in all tests of a class, and can run only once.
    """
    innermost = database.savepoint_ids[-1] if database.savepoint_ids else None
    for savepoints, hook, *_ in list(database.run_on_commit):
        if isinstance(hook, _Hook | DivertedHook) and (
            innermost is None or innermost in savepoints
        ):
            hook()
