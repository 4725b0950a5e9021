"""Django's database connections around a job, as around a request.

Only threads that ever opened a connection pay for it: asking Django's connection
handler costs more than a small job.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from math import inf
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asgiref.sync import SyncToAsync
from django.db import connections, reset_queries
from django.db.backends.signals import connection_created

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("redisjobs.worker")

# A connection that was left alone for longer is tried before a job relies on it: the
# database may have been restarted, or a firewall have forgotten it.
IDLE_SECONDS: Final = 1.0

MOST_IN_LINE: Final = 1_000
"""So often that thread is to tidy up, at most, when it gets on again."""

T = TypeVar("T")

_opened: set[int] = set()
# When each of these threads last looked after its connections.
_refreshed: dict[int, float] = {}
# Of each thread that runs jobs, the databases with a transaction around it all.
_executors: dict[int, frozenset[str]] = {}
# What waits to be done in asgiref's thread, and since when.
_in_line: deque[tuple[float, Future[None]]] = deque()


def watch() -> None:
    """Begin to note which threads open connections; once in a process."""
    connection_created.connect(_note, dispatch_uid="django_redisjobs.worker")


def begin_process() -> None:
    """This process was forked: none of the threads came along, also not that of asgiref's,
    whose executor would wait for it for ever.
    """
    SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)


def begin_executor() -> None:
    """The calling thread runs jobs, and tidies up after itself.

    But for a transaction around the whole worker: that is a caller's, in a test.
    """
    here = connections.all(initialized_only=True)
    _executors[get_ident()] = frozenset(
        each.alias for each in here if each.in_atomic_block
    )
    if any(each.connection for each in here):
        _opened.add(get_ident())


def end_executor() -> None:
    """The calling thread runs no more jobs: close what it opened."""
    if get_ident() in _opened:
        _opened.discard(get_ident())
        for each in _own():
            each.close()
    _refreshed.pop(get_ident(), None)
    _executors.pop(get_ident(), None)


def refresh() -> None:
    """Before and after a job: drop what is stale, broken or too old."""
    if get_ident() in _opened:
        _refresh()


def refresh_in_line() -> None:
    """The same for jobs on the event loop: their connections live in a thread of
    asgiref's. It does that before all that it is given from now on.

    Nobody waits for it: the thread may be kept, even by what an ended job has left.
    """
    if _opened <= _executors.keys():
        return
    while _in_line and _has_begun(_in_line[0][1]):
        _in_line.popleft()
    if len(_in_line) < MOST_IN_LINE:
        future = SyncToAsync.single_thread_executor.submit(_refresh)
        _in_line.append((monotonic(), future))


def kept_since() -> float:
    """Since when (monotonic) that thread has been at what it was given before; inf: it
    is free for the next. From any thread.
    """
    waiting = (at for at, future in list(_in_line) if not _has_begun(future))
    return next(waiting, inf)


def _has_begun(future: Future[None]) -> bool:
    return future.running() or future.done()


def fetch(call: Callable[[], T]) -> Future[T]:
    """Have another thread do what the worker itself asks of databases, in the context
    of now, and tidy up. Jobs never keep that one.
    """
    return _fetcher().submit(copy_context().run, tidily, call)


def tidily(call: Callable[[], T]) -> T:
    """What ``call`` gives; the calling thread's connections are seen to as around a job."""
    refresh()
    try:
        return call()
    finally:
        refresh()


@cache
def _fetcher() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "redisjobs-fetcher", initializer=begin_executor)


def _refresh() -> None:
    now = monotonic()
    was_idle = now - _refreshed.get(get_ident(), now) > IDLE_SECONDS
    _refreshed[get_ident()] = now
    try:
        reset_queries()
        for each in _own():
            if each.in_atomic_block:
                # An interrupt can hit a transaction while it ends. What the next job
                # wrote into it would never be committed.
                each.close()
                del connections[each.alias]
            else:
                each.close_if_unusable_or_obsolete()
                if was_idle and each.connection and not each.is_usable():
                    each.close()
    except Exception as error:
        # What the job raised meanwhile is told elsewhere, without what is to be hidden.
        error.__suppress_context__ = True
        logger.warning("A database connection could not be tidied up.", exc_info=error)


def _own() -> list[BaseDatabaseWrapper]:
    """The connections of this thread, without those that are a caller's."""
    around = _executors.get(get_ident(), ())
    return [
        each
        for each in connections.all(initialized_only=True)
        if each.alias not in around
    ]


def _note(**_: Any) -> None:
    _opened.add(get_ident())
