"""Workers' leases: renewing them, talking to their owners, rescuing the dead."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from .keys import GroupKeys
from .records import KeepPolicy, keep_text
from .scripts import SCRIPTS, Conversation, word, words

_BEAT = SCRIPTS["beat"]
_RESCUE = SCRIPTS["rescue"]
_TELL = SCRIPTS["tell"]
_STACKS_LIFETIME_MS = 600_000


@dataclass(frozen=True, slots=True)
class Beat:
    """``lost``: workers whose lease had ended. ``messages``: for each worker, in order.

    ``others``: registered workers that were not named, some hundreds at most, those
    first whose leases end first. ``parked``: the queues that have parked jobs.
    """

    server_ms: int
    lost: tuple[str, ...]
    messages: dict[str, list[str]]
    others: tuple[str, ...]
    parked: tuple[str, ...]


class Remains(NamedTuple):
    """What a job left that died with its process; empty texts for nothing.

    ``logs``: the last lines it had logged, as JSON. ``stack``: where the process was.
    """

    logs: str = ""
    stack: str = ""


NOTHING: Final = Remains()


@dataclass(frozen=True, slots=True)
class Rescued:
    """Ids of the jobs that went back to their queues, and of those that ended; ``unread``:
    messages that were left for the worker, for whoever can still heed them.
    """

    returned: tuple[str, ...]
    ended: tuple[str, ...]
    unread: tuple[str, ...] = ()


def beat(
    keys: GroupKeys,
    workers: Sequence[str],
    *,
    queues: Sequence[str],
    lease_ms: int,
    max_crashes: int,
    keep: KeepPolicy,
    memory: Mapping[str, int] | None = None,
) -> Conversation[Beat]:
    """Renew leases in one round trip, and give what others had to say to the workers.

    ``memory``: what the workers' processes hold in RAM, in bytes, for people.
    Does the periodic care too, so that it goes on while all workers are busy.
    """
    command = _BEAT.bind(
        keys,
        *queues,
        *(part for one in workers for part in (one, (memory or {}).get(one) or "")),
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
    return Beat(
        int(reply[1]),
        tuple(words(reply[2])),
        messages,
        tuple(words(reply[4])),
        tuple(words(reply[5])),
    )


def rescue(  # noqa: PLR0913 - each says one thing of the dead, by keyword
    keys: GroupKeys,
    worker: str,
    *,
    running: Mapping[str, Remains] | None,
    reason: str,
    max_crashes: int,
    keep: KeepPolicy,
    charged: bool = True,
    killed: bool = False,
    beside: int = 0,
) -> Conversation[Rescued]:
    """Put back at once what a dead worker held, at the head, and forget the worker.

    ``running``: tokens of the jobs that ran when it died, each with what it left;
    None where that is unknown, and then all are charged a crash, as a suspicion. With
    ``charged=False`` nobody is: it ended in good order, or was killed for a job
    that is settled already. ``killed`` says that it did not end in good order, and
    so is among the lost, as all are that are charged. Any number of rescuers may try:
    the first one does it.

    ``beside``: how many others ran in that process, of other groups: only a crash alone
    may be a job's last.
    """
    charge: Literal["all", "running", "killed", "none"] = "running"
    if not charged:
        charge = "killed" if killed else "none"
    elif running is None:
        charge = "all"
    command = _RESCUE.bind(
        keys,
        *(part for token, left in (running or {}).items() for part in (token, *left)),
        worker=worker,
        charge=charge,
        reason=reason,
        max_crashes=max_crashes,
        keep=keep_text(keep),
        sole=int(len(running or ()) + beside == 1),
    )
    returned: list[str] = []
    ended: list[str] = []
    while True:
        (reply,) = yield [command]
        returned += words(reply[1])
        ended += words(reply[2])
        if word(reply[0]) != "more":
            return Rescued(tuple(returned), tuple(ended), tuple(words(reply[3])))


def keep_stacks(keys: GroupKeys, worker: str, text: str) -> Conversation[None]:
    """Keep for ten minutes what a worker's threads do now."""
    document = json.dumps({"at_ms": int(time.time() * 1000), "text": text})
    yield [("SET", keys.stacks(worker), document, "PX", _STACKS_LIFETIME_MS)]


def send_message(keys: GroupKeys, worker: str, message: str) -> Conversation[bool]:
    """Leave a message for one worker, ``quiet``, ``stop`` or ``dump``; whether this group
    knows it.

    It is read with the worker's next beat, or at once by one that blocks on
    ``keys.control(worker)``; unread it goes after a minute. Should the worker end
    before, whoever rescues it has the message.
    """
    (reply,) = yield [_TELL.bind(keys, worker=worker, message=message)]
    return word(reply[0]) == "told"
