"""Workers' leases: renewing them, talking to their owners, rescuing the dead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .keys import GroupKeys
from .records import KeepPolicy, keep_text
from .scripts import SCRIPTS, Conversation, word, words

_BEAT = SCRIPTS["beat"]
_RESCUE = SCRIPTS["rescue"]
_CONTROL_LIFETIME_MS = 60_000


@dataclass(frozen=True, slots=True)
class Beat:
    """``lost``: workers whose lease had ended. ``messages``: for each worker, in order."""

    server_ms: int
    lost: tuple[str, ...]
    messages: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Rescued:
    """Ids of the jobs that went back to their queues, and of those that ended."""

    returned: tuple[str, ...]
    ended: tuple[str, ...]


def beat(
    keys: GroupKeys,
    workers: Sequence[str],
    *,
    queues: Sequence[str],
    lease_ms: int,
    max_crashes: int,
    keep: KeepPolicy,
) -> Conversation[Beat]:
    """Renew leases in one round trip, and give what others had to say to the workers.

    Does the periodic care too, so that it goes on while all workers are busy.
    """
    command = _BEAT.bind(
        keys,
        *queues,
        *workers,
        lease_ms=lease_ms,
        max_crashes=max_crashes,
        keep=keep_text(keep),
        queues=len(queues),
    )
    (reply,) = yield [command]
    messages: dict[str, list[str]] = {}
    flat = words(reply[3])
    for worker, message in zip(flat[::2], flat[1::2], strict=True):
        messages.setdefault(worker, []).append(message)
    return Beat(int(reply[1]), tuple(words(reply[2])), messages)


def rescue(
    keys: GroupKeys,
    worker: str,
    *,
    running: Sequence[str] | None,
    reason: str,
    max_crashes: int,
    keep: KeepPolicy,
    charged: bool = True,
) -> Conversation[Rescued]:
    """Put back at once what a dead worker held, at the head, and forget the worker.

    ``running``: tokens of the jobs that ran when it died; None where that is
    unknown, and then all are charged a crash, as a suspicion. With
    ``charged=False`` nobody is: it ended in good order, or was killed for a job
    that is settled already. Any number of rescuers may try: the first one does it.
    """
    charge: Literal["all", "running", "none"] = "running"
    if not charged:
        charge = "none"
    elif running is None:
        charge = "all"
    command = _RESCUE.bind(
        keys,
        *(running or ()),
        worker=worker,
        charge=charge,
        reason=reason,
        max_crashes=max_crashes,
        keep=keep_text(keep),
    )
    returned: list[str] = []
    ended: list[str] = []
    while True:
        (reply,) = yield [command]
        returned += words(reply[1])
        ended += words(reply[2])
        if word(reply[0]) != "more":
            return Rescued(tuple(returned), tuple(ended))


def send_message(keys: GroupKeys, worker: str, message: str) -> Conversation[None]:
    """Leave a message for one worker: ``quiet``, ``stop`` or ``dump``.

    It is read with the worker's next beat, or at once by one that blocks on
    ``keys.control(worker)``; unread it goes after a minute.
    """
    key = keys.control(worker)
    yield [("RPUSH", key, message), ("PEXPIRE", key, _CONTROL_LIFETIME_MS)]
