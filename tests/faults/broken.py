"""Deliberately broken variants: the checker has to catch each of them.

A variant changes scripts before anything has used them, or what surrounds them.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

from django_redisjobs.core import consumer, scripts
from django_redisjobs.core.consumer import Consumer, Exchange
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.presence import Rescued
from django_redisjobs.core.records import JobStatus
from django_redisjobs.core.scripts import Conversation, words
from django_redisjobs.core.settlements import Settlement


def apply(variant: str) -> None:
    """Break this process."""
    VARIANTS[variant]()


def _change(text: str, instead: str, *names: str) -> None:
    """Put something else in the place of a text of these scripts, or of all."""
    changed = 0
    for name, script in scripts.SCRIPTS.items():
        if (names and name not in names) or text not in script.source:
            continue
        source = script.source.replace(text, instead)
        sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(script, "source", source)
        object.__setattr__(script, "sha", sha)
        scripts._SOURCES[sha] = source
        changed += 1
    if changed < max(1, len(names)):
        raise RuntimeError(f"A broken variant does not fit the scripts: {text!r}.")


def no_rescue() -> None:
    """What a dead worker held stays where it is."""
    _change(_RESCUED, _NOTHING_RESCUED, "rescue")
    _change("more = " + _MAINTAIN, "more = false", "step")
    _change(f"\n{_MAINTAIN}\n", "\n", "beat")


_MAINTAIN = "maintain(lease_ms, max_crashes, keep, queues)"
_RESCUED = "local returned, ended, more, unread = rescue_worker("
_NOTHING_RESCUED = "do return {'rescued', {}, {}, {}} end " + _RESCUED


def no_fence() -> None:
    """Whoever reports an outcome is believed, whether the job is still theirs or not."""
    _change(
        "if not removed and safely('LREM', claimed, 1, entry) == 0 then",
        "if not removed and safely('LREM', claimed, 1, entry) == 2 then",
        "step",
    )


def local_clock() -> None:
    """The worker's clock decides instead of the server's."""
    offset = int(os.environ.get("FAULTS_CLOCK", "0"))
    _change(
        "local clock = redis.call('TIME')",
        f"local clock = redis.call('TIME') clock[1] = clock[1] + {offset}",
    )


def lost_wake_up() -> None:
    """Work becomes ready, and nobody is told."""
    _change("redis.call('RPUSH', key, unpack(tokens))", "do end")


def early_ack() -> None:
    """A job is reported as done when it is claimed, as brokers do by default."""
    exchange = Consumer.exchange

    @functools.wraps(exchange)
    def eager(
        self: Consumer, settlements: Sequence[Settlement], **more: Any
    ) -> Exchange:
        answer = exchange(self, settlements, **more)
        done = [Settlement("succeeded", job, "work") for job in answer.jobs]
        if done:
            exchange(self, done, want=0)
        return answer

    # Not on the class: others in this process may have it whole.
    consumer.Consumer.exchange = eager  # type: ignore[method-assign]


def no_take_over() -> None:
    """What was claimed by a step whose answer was lost is counted, and never run."""
    agree = Consumer._agree

    @functools.wraps(agree)
    def forgetful(self: Consumer, *given: Any) -> list[Any]:
        fields = agree(self, *given)
        self._taken_over = []
        return fields

    consumer.Consumer._agree = forgetful  # type: ignore[method-assign]


VARIANTS: dict[str, Callable[[], None]] = {
    "no-rescue": no_rescue,
    "no-fence": no_fence,
    "local-clock": local_clock,
    "lost-wake-up": lost_wake_up,
    "early-ack": early_ack,
    "no-take-over": no_take_over,
}


def rescue_in_two_calls(
    keys: GroupKeys, worker: str, **_: Any
) -> Conversation[Rescued]:
    """What it held is read in one call and put back in others: two who do so at a
    time both put it back, one of them perhaps when it runs again already.
    """
    (entries,) = yield [("LRANGE", keys.claimed(worker), 0, -1)]
    ids = [entry.partition(" ")[0] for entry in words(entries)]
    threading.Event().wait(random.uniform(0.0, 0.1))
    for job_id in ids:
        yield [
            ("HSET", keys.state(job_id), "status", JobStatus.PENDING.value),
            ("LPUSH", keys.pending("default"), job_id),
        ]
    yield [
        ("DEL", keys.claimed(worker), keys.worker(worker)),
        ("ZREM", keys.workers, worker),
    ]
    return Rescued(tuple(ids), ())
