"""Telling the receivers of signals what became of a job.

They are anybody's code, and most of them are plain functions that use the database:
Django runs neither those nor coroutine functions from within an event loop. There
a thread of its own tells them, while the loop waits.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache, partial
from typing import Any

from django.dispatch import Signal

from . import databases


def tell(signal: Signal, sender: object, **news: Any) -> None:
    """Send ``signal``. What receivers raise is logged by Django, and goes no further."""
    if _is_in_loop():
        send = partial(signal.send_robust, sender, **news)
        _messenger().submit(copy_context().run, databases.tidily, send).result()
    else:
        signal.send_robust(sender, **news)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@cache
def _messenger() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        max_workers=1,
        thread_name_prefix="redisjobs-receivers",
        initializer=databases.begin_executor,
    )
