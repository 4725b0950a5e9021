"""Jobs enqueued a second by one producer."""

from __future__ import annotations

from .sizes import Figures, Sizes
from .stage import Stage
from .subjects import BARE, Subject

_BULKS = 5


def one_at_a_time(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """A call a job, taking turns in one process with redis-py's bare LPUSH."""
    count = sizes.of(subject.enqueued)
    own, bare = stage.produce(subject, "one", count, beside=BARE)
    return {"jobs_s": count / own, "lpush_s": count / bare, "of_lpush": bare / own}


def bulk(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """1,000 jobs a call."""
    return _thousands(stage, subject, sizes, "bulk")


def transaction(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """1,000 calls in a transaction."""
    return _thousands(stage, subject, sizes, "transaction")


def _thousands(stage: Stage, subject: Subject, sizes: Sizes, operation: str) -> Figures:
    count = sizes.of(subject.enqueued * _BULKS)
    (seconds,) = stage.produce(subject, operation, count)
    return {"jobs_s": count / seconds}
