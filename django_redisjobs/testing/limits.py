"""Where a test may run jobs, which, and how far that goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from datetime import datetime
from inspect import isasyncgenfunction, isgeneratorfunction
from math import inf
from typing import Any, Final, TypeAlias

from django_redisjobs import conf
from django_redisjobs.durations import Duration, parse_duration
from django_redisjobs.offline import now_ms
from django_redisjobs.options import epoch_ms, read_queue, read_run_after, to_ms

LIMIT: Final = 10_000
"""Attempts in one run: a job that enqueues itself again and again never ends."""

Scheduled: TypeAlias = bool | Duration | datetime
"""Whether jobs run that wait for their time: no, all of them, or those that are due
when so much time has passed, or at that time.
"""


def horizon_ms(scheduled: Scheduled) -> float:
    """Until when jobs count as due, in milliseconds since the epoch."""
    if scheduled is False:
        return now_ms()
    if scheduled is True:
        return inf
    if isinstance(scheduled, datetime):
        read_run_after(scheduled)
        return epoch_ms(scheduled)
    return now_ms() + to_ms(parse_duration(scheduled))


def refuse_loop(instead: str) -> None:
    """Django lets nobody use a database on a running event loop, and nobody can run a
    coroutine to its end there. Who knows better says so as Django wants it.
    """
    if os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"No jobs can be run on an event loop. Write: {instead}")


def check_queues(names: Iterable[str]) -> None:
    """Raises UnknownQueue: of a queue that is nowhere no jobs would run, and all be well.

    TypeError for what is no text.
    """
    for name in names:
        conf.get_queue_settings(read_queue(name))


def refuse_generator(decorated: Callable[..., Any], instead: str) -> None:
    """To call it only makes the generator: its code runs when no decorator is around."""
    if isgeneratorfunction(decorated) or isasyncgenfunction(decorated):
        name = getattr(decorated, "__name__", repr(decorated))
        raise TypeError(
            f"{name} is a generator function, of which a decorator sees "
            f"only the call: use {instead}."
        )


def too_many(limit: int) -> RuntimeError:
    return RuntimeError(
        f"After {limit:,} attempts there are still jobs to run. Does one enqueue "
        "itself again and again, or fail without a limit of retries? If there are "
        "really so many, raise limit=."
    )
