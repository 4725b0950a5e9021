"""What a worker does with the reliable list: settle, claim, keep count.

A ``Consumer`` is one worker id's view of what it holds. It numbers its calls,
tells Redis with each how many entries it believes to hold, and where the two
differ (a lost reply, a failover that rolled back) it makes them agree again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Any, Final

from .exceptions import LeaseLost, SchemaMismatch
from .flights import Depart, Flight
from .keys import SCHEMA_VERSION, GroupKeys
from .records import KeepPolicy, keep_text
from .scripts import SCRIPTS, Client, Command, Conversation, send, word
from .settled import Settled
from .settlements import (
    Claimed,
    Fields,
    Settlement,
    parse_claimed,
    settlement_fields,
    success_kept_ms,
)

_STEP = SCRIPTS["step"]
_REGISTER = SCRIPTS["register"]
_HAND_BACK = SCRIPTS["hand_back"]
_TAKE = SCRIPTS["take"]

_UNSURE: Final = -1
"""Differs from any number held: asks for the list itself. After a lost answer the
numbers alone may agree by chance, when others have handed back as many as it claimed."""
MOST_ROUNDS: Final = 20
"""So often a worker tries to agree with Redis within one exchange."""

Room = Callable[[int], int]
"""How many jobs to claim while so many are worked off; 0 for none. It asks Redis nothing,
and may be asked under the consumer's lock."""


@dataclass(slots=True)
class Exchange:
    """What a step gave.

    ``refused``: tokens whose settlement came too late and changed nothing.
    ``dropped``: tokens that Redis does not count as held any more: what is not
    started of them must never start. ``due_in_ms``: until the next scheduled job
    or lease, where nothing was claimed. ``more``: call again, do not wait.
    ``wanted``: how many jobs it was to claim.
    ``next_call``: the number of the one that is under way already; 0 without one.
    ``asked_at``: the monotonic time of this process before the step began.
    """

    jobs: list[Claimed]
    more: bool
    due_in_ms: int | None
    alone_waiting: bool
    refused: tuple[str, ...]
    dropped: frozenset[str]
    server_ms: int
    asked_at: float
    wanted: int
    next_call: int


@dataclass(slots=True)
class _Step:
    """``fields``: its settlements as arguments. ``ending``: those that are to be
    remembered. ``settled``: their tokens. ``call``: its number. ``sent_at``: monotonic.
    """

    fields: list[Any] = field(default_factory=list)
    ending: list[Fields] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    want: int = 0
    fresh: bool = False
    call: int = 0
    sent_at: float = inf


_Onward = tuple[_Step, Room]
"""The step after this one, and how many jobs that claims."""


class Consumer:
    """One worker id. Thread-safe: all its calls go through one lock, in order.

    redis-py's errors pass through; then it is unknown whether the step ran, and
    the caller calls again with the same settlements.
    """

    def __init__(
        self,
        client: Client,
        keys: GroupKeys,
        worker: str,
        queues: Sequence[str],
        *,
        lease_ms: int,
        keep: KeepPolicy,
        max_crashes: int,
    ) -> None:
        self.worker = worker
        self.queues = tuple(queues)
        self._client = client
        self._keys = keys
        self._lease_ms = lease_ms
        self._kept_ms = success_kept_ms(keep)
        self._keep_text = keep_text(keep)
        self._max_crashes = max_crashes
        self._call = 0
        self._held: dict[str, Claimed] = {}
        # Whether a call may have changed what Redis has, and nobody heard how.
        self._in_doubt = False
        self._settled = Settled()
        # What the caller must be told, also when a later round of the same exchange
        # fails: nobody would ever hear of it again.
        self._taken_over: list[Claimed] = []
        self._refused: list[str] = []
        self._dropped: set[str] = set()
        self._flight: tuple[Flight, _Step] | None = None
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """How many entries this worker believes to hold."""
        return len(self._held)

    @property
    def is_behind(self) -> bool:
        """Whether what was launched is behind a block yet, and must not land."""
        return self._flight is not None and self._flight[0].is_behind

    @property
    def wake_keys(self) -> list[str]:
        """The lists to block on, in order of preference."""
        return [self._keys.wake(queue) for queue in self.queues]

    def register(self, info: Mapping[str, str]) -> int:
        """Begin this worker's first lease; gives the server's time.

        Raises SchemaMismatch when the data is of a later version, and RuntimeError when
        the id was used before.
        """
        fields = [part for pair in info.items() for part in pair]
        command = _REGISTER.bind(
            self._keys, *fields, worker=self.worker, lease_ms=self._lease_ms
        )
        with self._lock:
            (reply,) = send(self._client, [command])
        if word(reply[0]) == "taken":
            raise RuntimeError(f"The worker id {self.worker} was used before.")
        if word(reply[0]) == "schema":
            raise SchemaMismatch(word(reply[1]), SCHEMA_VERSION)
        return int(reply[1])

    def exchange(
        self,
        settlements: Sequence[Settlement],
        *,
        want: int,
        fresh: bool = False,
        ahead: Room | None = None,
    ) -> Exchange:
        """Settle, maintain, and claim up to ``want`` jobs in one round trip.

        ``ahead``: if all came that was wanted, the next exchange is sent before these
        are looked at, and ``land`` gives what comes of it.

        Raises LeaseLost when others may hold this worker's jobs by now:
        settlements whose entry was still there were applied, all else is void.
        Raises SchemaMismatch where it was to claim what a later version has changed:
        settlements were applied, and what is held stays so.
        """
        with self._lock:
            step = self._prepared(settlements)
            step.want, step.fresh = want, fresh
            onward = (_Step(), ahead) if ahead else None
            return self._conclude(self._perform(step), step, onward)

    def launch(self, depart: Depart, *, want: int, fresh: bool) -> None:
        """Have ``depart`` send what claims, and do not wait. Next comes ``land``."""
        with self._lock:
            step = _Step(want=want, fresh=fresh)
            command = self._next(step)
            # What is before it may take long: it begins when it lands, for all we know.
            step.sent_at = inf
            self._flight = depart(command), step

    def land(
        self, settlements: Sequence[Settlement] = (), ahead: Room | None = None
    ) -> Exchange:
        """What came of the exchange that is under way; as ``exchange`` gives it.

        ``settlements`` go with the one after it, if ``ahead`` sends one.
        """
        with self._lock:
            assert self._flight is not None
            # Before the answer is there, so that the server does not wait for it after.
            onward = (self._prepared(settlements), ahead) if ahead else None
            (flight, step), self._flight = self._flight, None
            step.sent_at = min(step.sent_at, monotonic())
            return self._conclude(flight.land(), step, onward)

    def abandon(self) -> None:
        """Nobody will ask for what was launched."""
        with self._lock:
            if self._flight is not None:
                self._flight[0].abandon()
                self._flight = None

    @property
    def _news(self) -> bool:
        """Whether there is something that the caller has to hear."""
        return bool(self._taken_over or self._refused or self._dropped)

    def _prepared(self, settlements: Sequence[Settlement]) -> _Step:
        """A step with these settlements that claims nothing yet."""
        step = _Step()
        for settlement in settlements:
            arguments = settlement_fields(settlement, self._kept_ms)
            step.fields += arguments
            if settlement.kind != "note":
                step.settled.append(settlement.job.token)
                step.ending.append(arguments)
        return step

    def _conclude(
        self, reply: list[Any], step: _Step, onward: _Onward | None
    ) -> Exchange:
        """What came of a step, after further ones where both sides differ."""
        for _ in range(MOST_ROUNDS):
            status, server_ms = word(reply[0]), int(reply[1])
            self._in_doubt = status == "stale"
            for token in step.settled:
                self._held.pop(token, None)
            self._refused += (
                word(entry).partition(" ")[2]
                for entry in reply[2 if status != "ok" else 5]
            )
            if status == "ok" and step.call == self._call:
                return self._agreed(reply, server_ms, step, onward)
            if status == "lost":
                break
            if status == "schema":
                if not self._news:
                    raise SchemaMismatch(word(reply[3]), SCHEMA_VERSION)
                # First what earlier rounds found out. Who claims again hears of it.
                return self._agreed(
                    [status, server_ms, 0, -1, 0, [], []], server_ms, step, None
                )
            # Who finds that they differ looks first at what there is. So does whose call
            # was overtaken by another one, which has taken over what it claimed.
            onward = None
            step = _Step(want=step.want, fresh=step.fresh)
            if status == "stale":
                self._call = int(reply[3])
            elif status == "differs":
                step.fields = self._agree(reply[3], server_ms)
            reply = self._perform(step)
        self._held.clear()
        raise LeaseLost(f"Worker {self.worker} lost its lease.")

    def _agreed(
        self,
        reply: list[Any],
        server_ms: int,
        step: _Step,
        onward: _Onward | None,
    ) -> Exchange:
        call, raw = f"{self.worker}:{self._call}", reply[6]
        came = len(raw) // 3
        full = 0 < step.want == came
        next_call = self._go_on(*onward, came) if onward and full else 0
        jobs = [
            parse_claimed(job_id, record, history, f"{call}:{index}", server_ms)
            for index, (job_id, record, history) in enumerate(
                zip(raw[::3], raw[1::3], raw[2::3], strict=True)
            )
        ]
        for job in jobs:
            self._held[job.token] = job
        due_in_ms = int(reply[3])
        exchange = Exchange(
            self._taken_over + jobs,
            bool(reply[2]),
            None if due_in_ms < 0 else due_in_ms,
            bool(reply[4]),
            tuple(self._refused),
            frozenset(self._dropped),
            server_ms,
            step.sent_at,
            step.want,
            next_call,
        )
        self._taken_over, self._refused, self._dropped = [], [], set()
        return exchange

    def _go_on(self, step: _Step, room: Room, came: int) -> int:
        """Send the next exchange; gives its number, 0 if there is no room."""
        assert self._flight is None
        step.want = room(came)
        if not step.want:
            return 0
        self._flight = Flight(self._client, self._next(step, came=came)), step
        return self._call

    def _perform(self, step: _Step) -> list[Any]:
        reply: list[Any]
        (reply,) = send(self._client, [self._next(step)])
        return reply

    def _next(self, step: _Step, *, came: int = 0) -> Command:
        """The command of a step. ``came``: claimed, and not among those held yet."""
        self._call += 1
        self._settled.remember(step.ending)
        step.call, step.sent_at = self._call, monotonic()
        leaving = len(self._held.keys() & step.settled)
        held = _UNSURE if self._in_doubt else len(self._held) + came - leaving
        self._in_doubt = True
        return _STEP.bind(
            self._keys,
            *self.queues,
            *step.fields,
            worker=self.worker,
            call=self._call,
            lease_ms=self._lease_ms,
            max_crashes=self._max_crashes,
            keep=self._keep_text,
            held=held,
            want=step.want,
            fresh=int(step.fresh),
            queues=len(self.queues),
        )

    def _agree(self, raw: list[Any], server_ms: int) -> list[Any]:
        """Make what we believe to hold and what Redis says agree.

        What was settled lately is settled again from memory (the result: fields of
        the next step), unknown entries are taken over, missing ones dropped.
        """
        fields: list[Any] = []
        held = zip(raw[::4], raw[1::4], raw[2::4], raw[3::4], strict=True)
        present = {word(token): each for *each, token in held}
        unknown = present.keys() - self._held.keys()
        settled = self._settled.find(unknown)
        for token, (job_id, record, history) in present.items():
            if token in settled:
                fields += settled[token]
            elif token in unknown:
                job = parse_claimed(job_id, record, history, token, server_ms)
                self._held[token] = job
                self._taken_over.append(job)
        gone = self._held.keys() - present.keys()
        for token in gone:
            del self._held[token]
        self._dropped |= gone
        self._taken_over = [job for job in self._taken_over if job.token not in gone]
        return fields


def settle_for(
    keys: GroupKeys,
    worker: str,
    settlements: Sequence[Settlement],
    *,
    keep: KeepPolicy,
    max_crashes: int,
) -> Conversation[tuple[str, ...]]:
    """Settle for a worker that cannot do so itself any more (it was killed).

    Gives the tokens that were refused: they had been settled or rescued already.
    """
    fields: list[Any] = []
    kept_ms = success_kept_ms(keep)
    for settlement in settlements:
        fields += settlement_fields(settlement, kept_ms)
    command = _STEP.bind(
        keys,
        *fields,
        worker=worker,
        call=0,
        lease_ms=0,
        max_crashes=max_crashes,
        keep=keep_text(keep),
        held=0,
        want=0,
        fresh=0,
        queues=0,
    )
    (reply,) = yield [command]
    return tuple(word(entry).partition(" ")[2] for entry in reply[2])


def hand_back(keys: GroupKeys, worker: str, tokens: Sequence[str]) -> Conversation[int]:
    """Return entries that a stuck worker never started to the head of their queues.

    The worker learns of it in its next step (``Exchange.dropped``).
    """
    (reply,) = yield [_HAND_BACK.bind(keys, *tokens, worker=worker)]
    return int(reply[1])


def take(
    keys: GroupKeys, worker: str, job_id: str, token: str, *, again: str = ""
) -> Conversation[tuple[str, str]]:
    """Claim one named job that waits, for a registered worker; paused or not.

    ``again``: the status of an ended job that is to be taken too, with a fresh budget:
    in one step, else other workers would be first.

    Gives ``taken``, or why not: ``running`` and by whom, ``ended`` and as what,
    ``missing``, ``lost`` (the worker is). The worker learns of it in its next step,
    as of any claim whose answer was lost.
    """
    (reply,) = yield [
        _TAKE.bind(keys, worker=worker, id=job_id, token=token, again=again)
    ]
    return word(reply[0]), word(reply[1]) if len(reply) > 1 else ""
