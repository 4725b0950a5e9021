"""A child: claims jobs for itself, has them run, settles what came of them."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from math import inf
from random import uniform
from time import monotonic, time_ns
from typing import Final

from django.dispatch import Signal

from django_redisjobs import conf, connections, signals
from django_redisjobs.core.exceptions import LeaseLost, SchemaMismatch
from django_redisjobs.core.flights import Depart

from . import databases
from .bells import Bell
from .crew import Crew
from .execution import Execution
from .holdings import STEP_SECONDS, Claim, Holdings, Refusal
from .inbox import Inbox
from .keeper import Keeper
from .logs import JobLog
from .machine import MEASURE_SECONDS, resident_bytes
from .memory import FRESH_RSS, PID, RSS, STEPPED, Board, Phase
from .options import WorkerOptions
from .plans import Plans
from .stacks import stacks
from .stations import Post
from .trouble import TROUBLE, Trouble
from .waiting import LONGEST_SECONDS, Waiter, make_waiter

logger = logging.getLogger("redisjobs.worker")

# How soon to look again at what nothing rings for, and where the supervisor is taking what
# lies in the inbox.
_SOON_SECONDS: Final = 0.1
_TAKEN_SECONDS: Final = 0.02
# Any moment within, so that not all processes give way at once.
_GIVING_WAY_SECONDS: Final = (0.5, 2.0)
# So long threads and coroutines may stand idle so that all have ended. What takes longer
# is not waited for, but met again.
_STANDSTILL_SECONDS: Final = 1.0


class State(Enum):
    """What the main thread is at; others decide by it who settles."""

    STEPPING = auto()
    IN_BATCH = auto()
    WAITING_FOR_WORK = auto()
    WAITING_FOR_ROOM = auto()


class Child:
    """One process's worker. ``run`` gives how it ended; it holds nothing then.

    ``control``: where the supervisor talks to it, None without one. ``info``: what
    it registers about its process.
    """

    def __init__(
        self,
        options: WorkerOptions,
        posts: Sequence[Post],
        board: Board,
        pipe: tuple[int, int],
        info: Mapping[str, str],
        *,
        control: int | None = None,
    ) -> None:
        settings = conf.get_settings()
        self._options = options
        self._board = board
        self._info = {**info, "started_ms": str(time_ns() // 1_000_000)}
        self._inbox = Inbox(pipe)
        log = JobLog(options.name)
        execution = Execution(
            Plans(),
            log,
            board,
            overrun=options.overrun,
            max_payload=settings.max_payload,
            settle_now=self._settle_now,
        )
        self._crew = Crew(
            options,
            board,
            self._inbox,
            execution,
            begun=self._rouse_keeper,
            completed=self._completed,
        )
        self._holdings = Holdings(
            posts,
            board,
            self._inbox,
            log,
            lease_seconds=settings.lease_ms / 1000,
            admitted=self._admitted,
        )
        name = f"Worker process {info['pid']}"
        self._trouble = Trouble(name, connections.describe())
        self._keeper = Keeper(
            self,
            self._holdings,
            self._crew,
            Trouble(name, connections.describe()),
            control,
        )
        self._bell = Bell()
        self._waiter: Waiter | None = None
        self._state = State.STEPPING
        self._ending: Phase | None = None
        self._patient = True
        # Whether a job ended in another thread since the step began.
        self._news = False
        # Whether the last claim gave all that was asked for.
        self._plenty = False
        self._measured_at = 0.0
        self._give_way_at = inf
        self.wants_fresh_start = False

    # What the keeper and the executors ask and say, from their threads

    @property
    def is_in_batch(self) -> bool:
        return self._state is State.IN_BATCH

    @property
    def is_waiting(self) -> bool:
        return self._state in (State.WAITING_FOR_WORK, State.WAITING_FOR_ROOM)

    def quiet(self) -> None:
        self._ending = Phase.STOPPED
        self._bell.ring()

    def interrupt(self) -> None:
        """Have every running job stop, and do not wait for Redis to hear of them."""
        self._patient = False
        self._keeper.interrupt_all()

    def cancel(self, entry: str) -> None:
        """Have one attempt (``ID TOKEN``) end."""
        self._keeper.cancel(entry)

    def lease_lost(self) -> None:
        self._holdings.give_up()
        self._keeper.interrupt_void()
        self._bell.ring()

    def dump(self) -> bool:
        """Write what all threads do to standard error, and to Redis for a while."""
        # A project may have put anything in its place, without a descriptor say.
        with suppress(AttributeError, OSError, RuntimeError, TypeError, ValueError):
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
        text = stacks(self._crew.running(), self._crew.coroutines.loop)
        self._holdings.keep_stacks(text)
        return True

    def _rouse_keeper(self) -> None:
        # After what it is to see: it lays its flag down before it looks.
        if not self._keeper.alert:
            self._keeper.ring()

    def _completed(self) -> None:
        self._news = True
        if not self.is_waiting:
            return
        crew, asleep_on_redis = self._crew, self._state is State.WAITING_FOR_WORK
        wanted = crew.failure is not None or crew.has_left
        if wanted or not (asleep_on_redis or crew.is_stocked):
            self._bell.ring()
        elif asleep_on_redis:
            self._keeper.ring()
        else:
            # It settles what ends within a tick at once.
            self._rouse_keeper()

    def _settle_now(self) -> None:
        try:
            self._holdings.settle(wholly=True)
        except LeaseLost:
            self.lease_lost()
        except TROUBLE as error:
            # The next step tries again, and waits if it has to.
            self._trouble.met(error)

    def _admitted(self, jobs: int) -> None:
        self._crew.offer(jobs)
        if self._state is State.WAITING_FOR_WORK:
            # The keeper's settling found jobs that this worker holds.
            self._bell.ring()

    # The main thread

    def run(self) -> Phase:
        """Work until asked to stop, worn out, or (in a burst) out of jobs."""
        databases.watch()
        self._board.cells[PID] = os.getpid()
        self._board.enter(Phase.BOOT, monotonic() + STEP_SECONDS)
        self._crew.start()
        self._keeper.start()
        self._tell(signals.worker_started)
        self._crew.keep_context()
        if self._options.max_rss is not None:
            self._measure()
        while self._ending is None:
            self._cycle()
        ending = self._ending
        self._drain()
        self._tell(signals.worker_stopped)
        self._keeper.stop()
        self._crew.stop()
        if self._waiter is not None:
            self._waiter.close()
        return ending

    def _tell(self, signal: Signal) -> None:
        options = self._options
        signal.send_robust(None, worker=options.name, queues=options.queues)

    def _cycle(self) -> None:
        self._begin_step()
        if self._crew.has_left:
            self._work_off()
        if self._crew.is_stocked and self._crew.busy:
            self._let_work()
        else:
            self._step()

    def _step(self) -> None:
        """Settle and claim, and work off what came or sleep."""
        try:
            if self._holdings.is_lost:
                self._holdings.register(self._info)
            fresh = self._is_fresh
            claim = self._holdings.claim(
                self._room,
                fresh=fresh,
                expected=self._crew.take_expected(),
                taken_next=self._crew.takes_next,
                # A fresh one may be given a job that has to run alone.
                ahead=self._room if self._crew.runs_ahead and not fresh else None,
            )
        except LeaseLost:
            logger.warning("The lease was lost; what ran under it is void.")
            self.lease_lost()
            return
        except (*TROUBLE, SchemaMismatch) as error:
            self._bell.wait(self._met(error))
            return
        if claim.trouble is None:
            self._trouble.over()
            self._board.cells[STEPPED] = monotonic()
        if claim.wanted:
            self._plenty = claim.jobs >= claim.wanted
        ran = self._work_off()
        self._consider_recycling()
        self._consider_giving_way(claim)
        if claim.trouble is not None:
            # What the groups that answered have is worked off before they are asked again.
            seconds = self._met(claim.trouble)
            if not ran and not claim.more:
                self._idle_beside(claim, seconds)
        elif not ran and not claim.more:
            self._idle(claim)

    def _met(self, error: Refusal) -> float:
        """Note why nothing was claimed; gives the seconds to wait before the next try."""
        if isinstance(error, SchemaMismatch) and self._options.burst:
            # Only its replacement takes jobs again; the worker tells why it ended.
            self._end(Phase.EXHAUSTED)
            return 0.0
        return self._trouble.met(error)

    def _let_work(self) -> None:
        """Sleep while there is enough to go on with; the keeper settles meanwhile."""
        self._consider_recycling()
        self._state = State.WAITING_FOR_ROOM
        # After the state: who comes near the end of it looks at that then, or it is
        # seen here.
        if self._crew.is_stocked and not self._crew.has_left and self._ending is None:
            self._bell.wait(_SOON_SECONDS)

    def _begin_step(self) -> None:
        self._state = State.STEPPING
        self._news = False
        self._crew.check()
        self._board.enter(Phase.LOOP, monotonic() + STEP_SECONDS)

    def _work_off(self) -> bool:
        """Run what is in the inbox, if that is this thread's part."""
        if not len(self._inbox):
            return False
        self._board.enter(Phase.LOOP, inf)
        self._state = State.IN_BATCH
        self._rouse_keeper()
        return self._crew.work_off() > 0

    @property
    def _is_fresh(self) -> bool:
        return self._crew.started == 0

    def _room(self, coming: int = 0) -> int:
        """How many jobs to claim; or how many more, while ``coming`` are worked off."""
        now = monotonic()
        if self._ending is not None or self._holdings.is_past_lease(now):
            return 0
        if self._stands_still(now):
            return 0
        if self._holdings.exclusive:
            if self._crew.busy or len(self._inbox):
                return 0
            self._holdings.exclusive = False
        room = self._crew.room(plenty=self._plenty)
        if self._options.max_jobs is not None:
            begun = self._crew.started + len(self._inbox) + coming
            room = min(room, self._options.max_jobs - begun)
        return max(0, room)

    def _idle(self, claim: Claim) -> None:
        """Nothing to do for this thread: end, or sleep until something changes."""
        busy, room, now = self._crew.busy, self._room(), monotonic()
        if room and (claim.jobs or not claim.wanted):
            return
        # Nothing rings when a lease is renewed.
        doubtful = self._holdings.doubts_lease(now)
        is_soon = doubtful or self._stands_still(now)
        longest = _SOON_SECONDS if is_soon else LONGEST_SECONDS
        if claim.alone_waiting and not busy and not self._is_fresh:
            self._give_way()
        elif room and self._options.burst and not busy and not doubtful:
            self._end_burst()
        elif room and (doubtful or not self._options.burst):
            self._sleep(State.WAITING_FOR_WORK, claim.due_seconds, longest)
        else:
            # No room, and yet somebody is free: the supervisor took the inbox and hands
            # it back, of which no bell tells either, only a later step.
            robbed = not busy or self._crew.is_robbed
            taken = robbed and not self._holdings.is_past_lease(now)
            seconds = self._crew.until_soon(now) if self._plenty else None
            if taken:
                seconds = _TAKEN_SECONDS
            self._sleep(State.WAITING_FOR_ROOM, seconds, longest)

    def _idle_beside(self, claim: Claim, seconds: float) -> None:
        """Sleep so long because of trouble, or until a group without it has work."""
        room = self._room()
        if not self._holdings.wake_keys:
            self._bell.wait(seconds)
        elif not room:
            self._sleep(State.WAITING_FOR_ROOM, None, seconds)
        elif claim.wanted and not claim.jobs:
            self._sleep(State.WAITING_FOR_WORK, claim.due_seconds, seconds)

    def _end_burst(self) -> None:
        if self._holdings.has_outcomes:
            return
        if self._holdings.held:
            # The supervisor is handing back for us; then there is something to claim.
            self._sleep(State.WAITING_FOR_WORK, _SOON_SECONDS)
        else:
            self._end(Phase.EXHAUSTED)

    def _sleep(
        self, state: State, due_seconds: float | None, longest: float = LONGEST_SECONDS
    ) -> None:
        self._state = state
        # After the state: who has an outcome looks at it then, or it is seen here.
        if self._holdings.may_settle or self._news or self._ending is not None:
            return
        seconds = longest if due_seconds is None else min(due_seconds, longest)
        if state is State.WAITING_FOR_ROOM:
            self._bell.wait(seconds)
            return
        try:
            self._wait(seconds)
        except TROUBLE as error:
            self._state = State.STEPPING
            self._holdings.recall()
            self._bell.wait(self._trouble.met(error))

    def _wait(self, seconds: float) -> None:
        if self._waiter is None:
            self._waiter = make_waiter(
                connections.worker_client(), connections.blocking_client()
            )
        # What runs may have something to say, though Redis has lost its claim: nothing
        # must be asked while a claim is under way.
        alone = self._holdings.may_claim_waking and not self._crew.busy
        errand = self._claim_waking if alone else None
        bell = self._bell.fileno()
        woken = self._waiter.wait(self._holdings.wake_keys, seconds, [bell], errand)
        if woken is None:
            # Else a job is waiting, and one that rings ends the next sleep.
            self._bell.wait(0.0)

    def _claim_waking(self, depart: Depart) -> None:
        """Have Redis claim in the moment in which it wakes this worker."""
        self._holdings.claim_waking(depart, self._room(), fresh=self._is_fresh)

    def _consider_recycling(self) -> None:
        most = self._options.max_jobs
        if most is not None and self._crew.started >= most:
            self._end(Phase.RECYCLED)
            return
        limit = self._options.max_rss
        if limit is None or monotonic() - self._measured_at < MEASURE_SECONDS:
            return
        resident = self._measure()
        # Of who has run nothing the next one would hold as much.
        if resident > limit and not self._is_fresh:
            logger.info(
                "Worker process %s holds %.0f MB and is replaced.",
                self._info["pid"],
                resident / 1e6,
            )
            self._end(Phase.RECYCLED)

    def _measure(self) -> int:
        self._measured_at = monotonic()
        resident = resident_bytes()
        self._board.cells[RSS] = resident
        if self._is_fresh:
            self._board.cells[FRESH_RSS] = resident
        return resident

    def _consider_giving_way(self, claim: Claim) -> None:
        """Who has always more to do gives way after a while. Not all do so at once: one
        new process is enough. Where there are several executors they have to be idle at
        the same time for that, so nothing is claimed for a moment.
        """
        now = monotonic()
        # Who got all that was wanted has not looked into every queue.
        if not claim.alone_waiting and claim.jobs < claim.wanted:
            self._give_way_at = inf
        elif self._give_way_at == inf:
            if claim.alone_waiting:
                self._give_way_at = now + uniform(*_GIVING_WAY_SECONDS)
        elif now >= self._give_way_at and not self._crew.busy:
            self._give_way()
        elif now >= self._give_way_at + _STANDSTILL_SECONDS:
            self._give_way_at = now + 10 * uniform(*_GIVING_WAY_SECONDS)

    def _stands_still(self, now: float) -> bool:
        """Whether nothing is claimed so that this process can give way."""
        return self._give_way_at <= now < self._give_way_at + _STANDSTILL_SECONDS

    def _give_way(self) -> None:
        """Only a process that has run nothing may take what has to run alone."""
        self.wants_fresh_start = True
        self._end(Phase.RECYCLED)

    def _end(self, phase: Phase) -> None:
        if self._ending is None:
            self._ending = phase

    def _drain(self) -> None:
        """Give back what did not start, let finish what runs, settle it all."""
        while True:
            self._begin_step()
            try:
                self._holdings.hand_back()
                if self._holdings.settle(stepping=True):
                    self._trouble.over()
            except LeaseLost:
                self.lease_lost()
            except TROUBLE as error:
                if not self._patient and not self._crew.busy:
                    return
                self._bell.wait(self._trouble.met(error))
                continue
            if not self._crew.busy and not self._holdings.has_outcomes:
                return
            self._sleep(State.WAITING_FOR_ROOM, None)
