"""What a child holds under its worker id, in every group that it serves.

Used by the main thread and by the keeper; each call to Redis takes along whatever
waits to be settled then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

import redis

from django_redisjobs import connections
from django_redisjobs.core.consumer import Exchange, Room
from django_redisjobs.core.exceptions import SchemaMismatch
from django_redisjobs.core.flights import Depart
from django_redisjobs.core.presence import keep_stacks
from django_redisjobs.core.scripts import perform

from .attempts import unstarted
from .memory import GENERATION, REGISTERED, Board, Phase, call_of
from .stations import Post, Station
from .trouble import TROUBLE

if TYPE_CHECKING:
    from .inbox import Entry, Inbox
    from .logs import JobLog

LEASE_MARGIN_SECONDS: Final = 2.0
# Longer than a connect, a call and a block together may take: each group is asked for
# itself.
STEP_SECONDS: Final = 60.0

Refusal: TypeAlias = redis.RedisError | OSError | SchemaMismatch


def trusted_seconds(lease_seconds: float) -> float:
    """For how long a child trusts a lease, from before it was asked for."""
    return lease_seconds - min(LEASE_MARGIN_SECONDS, lease_seconds / 4)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a round of claims gave. ``wanted``: how many jobs at most. ``due_seconds``:
    until there may be more. ``trouble``: why a group gave no jobs.
    """

    jobs: int
    wanted: int
    more: bool
    due_seconds: float | None
    alone_waiting: bool
    trouble: Refusal | None = None


class Holdings:
    """``admitted`` is called with the number of jobs that were put into the inbox."""

    def __init__(
        self,
        posts: Sequence[Post],
        board: Board,
        inbox: Inbox,
        log: JobLog,
        *,
        lease_seconds: float,
        admitted: Callable[[int], None],
    ) -> None:
        self._posts = posts
        self._board = board
        self._cells = board.cells
        self._inbox = inbox
        self._log = log
        self._trusted_seconds = trusted_seconds(lease_seconds)
        self._admitted = admitted
        self._stations: list[Station] = []
        # Those that gave the main thread an answer when it asked last.
        self._answering: list[Station] = []
        # Codes of the call whose claims are ours to run, and of one whose announcement
        # somebody else has read, so that its claims are theirs.
        self._ahead = 0
        self._disowned = 0
        self.exclusive = False

    @property
    def is_lost(self) -> bool:
        """Not registered, or not any more."""
        stations = self._stations
        return not stations or not all(station.alive for station in stations)

    @property
    def has_outcomes(self) -> bool:
        return any(station.outcomes for station in self._stations)

    @property
    def may_settle(self) -> bool:
        """Whether there are outcomes that no trouble keeps here, as far as known."""
        return any(station.outcomes for station in self._answering)

    @property
    def has_unstarted(self) -> bool:
        return len(self._inbox) > 0

    @property
    def held(self) -> int:
        return sum(station.held for station in self._stations)

    @property
    def wake_keys(self) -> list[str]:
        """Of the groups that answer: the others would give no jobs."""
        return [key for station in self._answering for key in station.wake_keys]

    def is_past_lease(self, now: float) -> bool:
        """Nothing may start: nobody has renewed a lease in time."""
        return all(now > lease for lease in self._board.leases)

    def doubts_lease(self, now: float) -> bool:
        """Of some group nothing may start."""
        return any(now > lease for lease in self._board.leases)

    def register(self, info: Mapping[str, str]) -> None:
        """Begin anew under a new worker id. Raises redis-py's errors; then again."""
        self._inbox.clear()
        self._ahead = self._disowned = 0
        generation = self._board.generation + 1
        self._cells[GENERATION] = generation
        client = connections.worker_client()
        stations = [
            Station(post, client, self._board.worker, generation)
            for post in self._posts
        ]
        for station in stations:
            self._set_deadline()
            before = monotonic()
            station.register(info)
            self._board.leases[station.post.number] = before + self._trusted_seconds
        self._cells[REGISTERED] = generation
        self._stations = self._answering = stations

    def _set_deadline(self) -> None:
        """The main thread asks the next group: several may hang, one after the other."""
        self._board.enter(Phase.LOOP, monotonic() + STEP_SECONDS)

    def keep_stacks(self, text: str) -> None:
        """Show for a while what this process does. Raises redis-py's errors."""
        conversation = keep_stacks(self._posts[0].keys, self._board.worker, text)
        perform(connections.worker_client(), conversation)

    def claim(
        self,
        room: Room,
        *,
        fresh: bool,
        expected: bool,
        taken_next: bool = False,
        ahead: Room | None = None,
    ) -> Claim:
        """Settle, and claim as many jobs as there is ``room`` for, group after group. Of
        a claim that was made ahead or on waking: what came of it.

        ``expected``: what was announced is the caller's; else that goes back.
        ``taken_next``: the caller runs what comes first.
        ``ahead``: the next claim is made already while these jobs are worked off, if
        all came that was wanted; the next call gives what comes of it. Not for those
        with several groups: jobs of another would come out of order.
        Raises LeaseLost. Trouble with one group, whose slot may be on a node of its
        own, keeps nobody from the jobs of the others.
        """
        jobs, more, alone_waiting = 0, False, False
        wanted: int | None = None
        due: int | None = None
        trouble: Refusal | None = None
        taken = bool(self._ahead) and not expected
        if taken:
            self._disown()
        self._ahead = 0
        if taken or len(self._stations) > 1:
            ahead = None
        answering = []
        for station in self._stations:
            self._set_deadline()
            alone_may = fresh and not jobs and not self.held
            try:
                exchange = station.land(ahead)
                if exchange is not None and taken:
                    self._return(exchange, station)
                    exchange = None
                if exchange is None:
                    wanted = room(0) if wanted is None else wanted
                    late = monotonic() > self._board.leases[station.post.number]
                    want = 0 if self.exclusive or late else wanted - jobs
                    exchange = station.exchange(want=want, fresh=alone_may, ahead=ahead)
                elif wanted is None:
                    wanted = exchange.wanted
            except (*TROUBLE, SchemaMismatch) as error:
                trouble = error
                continue
            answering.append(station)
            jobs += self._absorb(station, exchange, taken_next=taken_next)
            if exchange.next_call:
                self._announce(station.code_of_call(exchange.next_call))
            more = more or exchange.more
            alone_waiting = alone_waiting or exchange.alone_waiting
            if exchange.due_in_ms is not None:
                due = min(exchange.due_in_ms, due or exchange.due_in_ms)
        self._answering = answering
        # Never a whole number of seconds, which the server would end by itself, up to a
        # tenth of one late. The half millisecond comes back where sleeps are rounded up.
        seconds = None if due is None else max(0.0, due - 0.5) / 1000
        return Claim(jobs, wanted or 0, more, seconds, alone_waiting, trouble)

    def _announce(self, code: int) -> None:
        self._ahead = code
        self._disowned = 0
        self._inbox.announce(code)

    def _disown(self) -> None:
        """Somebody else has read the announcement: what that call claims is theirs, also
        if its answer is lost and a later one tells of it.
        """
        self._inbox.forget([self._ahead])
        self._disowned = self._ahead

    @property
    def may_claim_waking(self) -> bool:
        """Whether there is nothing to do but to wait for jobs of one group."""
        return len(self._stations) == 1 and not self.held and not self.has_outcomes

    def claim_waking(self, depart: Depart, want: int, *, fresh: bool) -> None:
        """Claim when a block is over: the next ``claim`` gives what came.

        Nothing else may be asked until then.
        """
        (station,) = self._stations
        station.launch_behind(depart, want=want, fresh=fresh)

    def recall(self) -> None:
        """Wait no longer for what was claimed on waking."""
        for station in self._stations:
            station.recall()

    def _return(self, exchange: Exchange, station: Station) -> None:
        """Nobody here may start what that claimed."""
        station.outcomes.extend([unstarted(job) for job in exchange.jobs])
        exchange.jobs = []
        self._absorb(station, exchange)

    def settle(
        self, *, probe: bool = False, wholly: bool = False, stepping: bool = False
    ) -> bool:
        """Write what has ended; with ``probe`` ask even if there is nothing, whether
        the lease still holds; with ``wholly`` all is written afterwards that has ended
        before, whoever does it. ``stepping``: the main thread asks, between jobs. Gives
        whether Redis was asked.

        Raises LeaseLost, and redis-py's errors when all groups have been asked.
        """
        trouble: redis.RedisError | OSError | None = None
        is_asked = False
        for station in self._stations:
            if stepping:
                self._set_deadline()
            try:
                if wholly:
                    station.wait_written()
                # Who holds nothing may be waiting for what is claimed on waking.
                if not station.outcomes and not (probe and station.held):
                    continue
                self._absorb(station, station.exchange(want=0, fresh=False))
                is_asked = True
            except TROUBLE as error:
                trouble = error
        if trouble is not None:
            raise trouble
        if stepping:
            self._answering = self._stations
        return is_asked

    def hand_back(self) -> bool:
        """Give back what nobody has started, with the next settling. Gives whether Redis
        was asked.

        Raises LeaseLost, and redis-py's errors, when all else has been given back.
        """
        taken = self._inbox.take_all()
        for station in self._stations:
            # At once: in two parts the second would go back in front of the first.
            station.outcomes.extend(
                [unstarted(job) for _, job, own in taken if own is station]
            )
        is_asked = False
        for station in self._stations:
            if (exchange := station.land()) is not None:
                self._return(exchange, station)
                is_asked = True
        return is_asked

    def give_up(self) -> None:
        """The lease is lost: others may run by now what is held here.

        Nothing happens if it was begun anew since: two threads may hear of one loss.
        """
        if not self.is_lost:
            return
        for station in self._stations:
            station.abandon()
        self._inbox.take_all()

    def _absorb(
        self, station: Station, exchange: Exchange, *, taken_next: bool = False
    ) -> int:
        for token in exchange.refused:
            self._log.late(token)
        if exchange.dropped:
            self._inbox.forget([station.code_of(token) for token in exchange.dropped])
        entries: list[Entry] = [
            (station.code_of(job.token), job, station) for job in exchange.jobs
        ]
        if self._disowned:
            entries = self._own(entries)
        if entries:
            self.exclusive |= any(job.alone for job in exchange.jobs)
            self._admitted(self._inbox.put(entries, taken_next=taken_next))
        return len(entries)

    def _own(self, entries: list[Entry]) -> list[Entry]:
        """Those that may be started here; the others go back."""
        theirs = [each for each in entries if call_of(each[0]) == self._disowned]
        for _, job, station in theirs:
            station.outcomes.append(unstarted(job))
        return [each for each in entries if call_of(each[0]) != self._disowned]
