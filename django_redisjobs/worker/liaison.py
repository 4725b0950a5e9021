"""The process that talks to Redis for a supervisor, which must hold no connection.

It renews the children's leases whatever they are busy with, hears what people ask
of them, and brings back what dead ones held. It keeps nothing that matters: the
supervisor asks its successor again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

import redis

from django_redisjobs import connections, outbox
from django_redisjobs.core.keys import worker_of

from .beats import Beats, Heard
from .bells import poll
from .link import Messages
from .logs import JobLog
from .memory import (
    AWAY_SINCE,
    FAILED,
    LIAISON_DEADLINE,
    REDIS_AT,
    RETRIED,
    SUCCEEDED,
    Board,
)
from .parking import Parking
from .relay import Relay
from .rescues import Rescuer, read_rescue
from .stations import Post
from .trouble import TROUBLE, Trouble
from .waiting import LONGEST_SECONDS, Waiter, make_waiter

# Longer than a connect, a call and a block together may take.
TURN_SECONDS: Final = 60.0
# The first look at the machine's dead is repeated soon: some may still be dying.
SECOND_LOOK_SECONDS: Final = 1.0
# Who dismissed it waits so long: it may have to bring back what the last children held.
FAREWELL_SECONDS: Final = 5.0
UNFINISHED: Final = (
    "Redis does not answer; what this worker held comes back when its lease ends."
)
# The supervisor does not wait much longer for a liaison that it dismissed.
RELAY_SECONDS: Final = 3.0


class Liaison:
    """Runs until it is dismissed or its supervisor is gone."""

    def __init__(
        self,
        posts: Sequence[Post],
        boards: Sequence[Board],
        common: memoryview[float],
        line: Messages,
        name: str,
    ) -> None:
        self._posts = posts
        self._boards = boards
        self._name = name
        self._common = common
        self._line = line
        self._beats = Beats(posts, boards)
        self._rescuer = Rescuer(posts, JobLog(name), self._tell, self._breathe)
        self._parking = Parking()
        self._trouble = Trouble(
            f"Worker {name}", connections.describe(), longest=self._beats.patience
        )
        self._requests: deque[dict[str, Any]] = deque()
        self._waiter: Waiter | None = None
        self._dismissed = False
        self._began_at = monotonic()
        self._beat_at = 0.0
        self._renewed_at = 0.0
        self._heard = Heard()
        # Whether some groups answered the last beats, and others did not.
        self._is_partly_away = False
        self._ended_jobs = 0.0

    def run(self) -> int:
        relay = Relay(self._name) if outbox.is_used() else None
        if relay is not None:
            relay.start()
        self._serve_supervisor()
        if relay is not None:
            relay.stop()
            relay.join(RELAY_SECONDS)
        return 0

    def _serve_supervisor(self) -> None:
        while not self._dismissed and not self._line.closed:
            self._set_deadline()
            self._listen()
            try:
                self._turn()
                self._trouble.over()
                self._common[REDIS_AT] = monotonic()
                self._common[AWAY_SINCE] = 0.0
            except TROUBLE as error:
                self._common[REDIS_AT] = 0.0
                self._tell_away(monotonic())
                if self._waiter is not None:
                    # It keeps what it has heard.
                    self._waiter.close()
                poll([self._line.fileno()], self._trouble.met(error))

    def _set_deadline(self) -> None:
        self._common[LIAISON_DEADLINE] = monotonic() + TURN_SECONDS

    def _breathe(self) -> None:
        """Before each of several groups is asked, all of which may hang: leases end
        meanwhile, and so does the supervisor's patience.
        """
        self._set_deadline()
        if monotonic() > self._renewed_at + self._beats.interval:
            self._renew()

    def _turn(self) -> None:
        """Trouble with one group keeps nobody from what is to be done in the others."""
        # First: no trouble with anything else may cost a lease.
        trouble = self._renew()
        patient_until = monotonic() + self._beats.interval
        for _ in range(len(self._requests)):
            try:
                self._serve_first()
                trouble = self._renew() or trouble
            except TROUBLE as error:
                trouble = error
            if trouble is not None and monotonic() > patient_until:
                # A group that hangs takes ten seconds each time; leases end meanwhile.
                break
        self._care()
        if trouble is not None:
            raise trouble
        if not self._dismissed and not self._requests:
            self._wait(self._beat_at - monotonic())

    def _renew(self) -> redis.RedisError | OSError | None:
        """If it is time; gives why a group gave no answer."""
        now = monotonic()
        if now < self._beat_at:
            return None
        self._heard = self._beats.renew(connections.worker_client())
        self._renewed_at = monotonic()
        for worker, message in self._heard.messages:
            self._tell(worker, message)
        self._rescuer.away = self._heard.troubles
        self._is_partly_away = 0 < len(self._heard.troubles) < len(self._posts)
        for trouble in self._heard.troubles.values():
            return trouble
        self._beat_at = now + self._beats.interval
        if now < self._began_at + SECOND_LOOK_SECONDS:
            self._beat_at = min(self._beat_at, now + SECOND_LOOK_SECONDS)
        return None

    def _care(self) -> None:
        """See to what the last beat told of; nothing is asked where it told nothing."""
        client = connections.worker_client()
        for post, others in self._heard.others.items():
            self._set_deadline()
            self._rescuer.rescue_vanished(client, post, others)
        self._set_deadline()
        self._parking.take_up(client, self._heard.parked)
        self._heard = Heard()

    def _wait(self, seconds: float) -> None:
        """Until a message for a child, or from the supervisor, or the next duty."""
        seconds = max(0.0, min(seconds, LONGEST_SECONDS))
        whole = math.ceil(seconds)
        if whole - seconds < whole / 20:
            # A beat may be a little late, and Redis ends whole seconds by itself.
            seconds = whole
        keys = self._beats.control_keys()
        if not keys:
            poll([self._line.fileno()], seconds)
            return
        if self._waiter is None:
            self._waiter = make_waiter(
                connections.worker_client(), connections.blocking_client()
            )
        popped = self._waiter.wait(keys, seconds, [self._line.fileno()])
        if popped is not None:
            key, message = popped
            # Of two nodes' messages one is kept for the next turn: its child may have
            # begun anew meanwhile, and what was said to it may be for all.
            self._tell(worker_of(key), message)

    def _tell(self, worker: str, message: str) -> None:
        self._line.send({"worker": worker, "message": message})

    def _tell_away(self, now: float) -> None:
        """Tell the supervisor for how long Redis has been away without a break."""
        ended = sum(
            board.cells[cell]
            for board in self._boards
            for cell in (SUCCEEDED, FAILED, RETRIED)
        )
        # Where a part of it answers, whose jobs run, nobody waits for the other part.
        works = self._is_partly_away and (
            ended != self._ended_jobs or any(board.running() for board in self._boards)
        )
        self._ended_jobs = ended
        if works or not self._common[AWAY_SINCE]:
            self._common[AWAY_SINCE] = now
        self._line.send({"away": now - self._common[AWAY_SINCE]})

    def _listen(self) -> None:
        self._line.flush()
        self._requests.extend(self._line.receive())

    def _serve_first(self) -> None:
        request = self._requests[0]
        if request["do"] == "dismiss" and len(self._requests) > 1:
            # It would leave the others undone.
            self._requests.rotate(-1)
            return
        try:
            self._serve(request)
        except TROUBLE:
            # Again when the others have had their turn.
            self._requests.rotate(-1)
            raise
        # Taken away only when it is done.
        self._requests.popleft()

    def _serve(self, request: dict[str, Any]) -> None:
        what = request["do"]
        client = connections.worker_client()
        if what == "rescue":
            self._rescuer.rescue(client, **read_rescue(request))
        elif what == "hand_back":
            self._rescuer.hand_back(client, request["worker"], request["codes"])
        elif what == "look":
            # Somebody registered, or waits for what the dead held.
            self._beat_at = 0.0
            trouble = self._renew()
            self._care()
            if trouble is not None:
                raise trouble
        elif what == "dismiss":
            self._dismissed = True
        self._line.send({"done": request["number"]})
