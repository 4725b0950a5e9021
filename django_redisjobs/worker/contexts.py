"""The context in which a plain job runs: what one sets there, a language or a tenant, is
not seen by the next.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from contextvars import Context, copy_context

from django.core.cache import caches


class _Here(threading.local):
    base: Context | None = None


_here = _Here()


def begin_thread() -> None:
    """The calling thread runs jobs, each in a copy of its context as it is now."""
    base = copy_context()
    base.run(_make_caches)
    _here.base = base


def end_thread() -> None:
    """It runs no more."""
    _here.base = None


def for_job() -> Context:
    """A context for one job; in a thread of somebody else's a copy of its own."""
    base = _here.base
    return copy_context() if base is None else base.copy()


def _make_caches() -> None:
    # Django keeps them in the context: else each job would connect anew.
    for alias in caches:
        # Who uses one that is misconfigured hears of it.
        with suppress(Exception):
            caches[alias]
