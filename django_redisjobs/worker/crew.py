"""Those who run jobs in a child: the main thread or several others, and a loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from . import contexts, databases
from .attempts import unstarted
from .coroutines import Coroutines
from .inbox import Announced
from .memory import Board, group_of
from .pace import BATCH_SECONDS, LARGEST_BATCH, SOON_SECONDS, Pace
from .slots import MainSlot, Slot, TaskSlot, ThreadSlot

if TYPE_CHECKING:
    from .execution import Execution
    from .inbox import Entry, Inbox
    from .options import WorkerOptions
    from .plans import Prepared


class Crew:
    """``begun`` and ``completed`` are called in other threads than the main one, when
    a job has taken a slot and when it has ended.
    """

    def __init__(
        self,
        options: WorkerOptions,
        board: Board,
        inbox: Inbox,
        execution: Execution,
        *,
        begun: Callable[[], None],
        completed: Callable[[], None],
    ) -> None:
        self._leases = board.leases
        self._inbox = inbox
        self._execution = execution
        self._begun = begun
        self._completed = completed
        self.cancelled: set[str] = set()
        self.pace = Pace()
        self.started = 0
        # How many jobs should be ready for executors that are free soon.
        self._aim = 0
        self.inline = options.threads == 1
        self.slots = _make_slots(board, options.threads, inline=self.inline)
        self.coroutines = Coroutines(
            board,
            options.threads,
            options.async_concurrency,
            execution,
            self._refill,
            completed,
        )
        # Code of what the loop met in the inbox and the main thread has to take.
        self._passed = 0
        # So that jobs begin in the order in which they came: held from when one is taken
        # until it has its place. The loop never waits for it.
        self._taking = threading.Lock()
        # Whether the main thread runs a job, or settles it.
        self._at_work = False
        self._ready = threading.Semaphore(0)
        self._leaving = False
        # Threads that may have taken a job which is in no slot yet.
        self._reaching: set[int] = set()
        self._expected = False
        self._failure: BaseException | None = None

    @property
    def failure(self) -> BaseException | None:
        """What broke one of the other threads, if anything did.

        Not what a job raises, but what went wrong with telling of it or watching over it:
        the process has to end then, so that its supervisor brings back what it holds.
        """
        return self._failure or self.coroutines.failure

    def fail(self, error: BaseException) -> None:
        """Another thread of this process is broken by that."""
        self._failure = error
        self._completed()

    def check(self) -> None:
        """Raise the failure, if there is one."""
        if (failure := self.failure) is not None:
            raise failure

    def start(self) -> None:
        """Begin to take jobs; in the thread that will call ``work_off``."""
        if self.inline:
            self.slots[0].begin_thread()
            databases.begin_executor()
            return
        for slot in self.slots:
            name = f"redisjobs-{slot.number}"
            threading.Thread(
                target=self._serve, args=(slot,), name=name, daemon=True
            ).start()

    def keep_context(self) -> None:
        """Have the jobs of the calling thread, and those of the loop, begin in copies of
        its context as it is now.
        """
        if self.inline:
            contexts.begin_thread()
        self.coroutines.keep_context()

    def stop(self) -> None:
        """Let the threads go home; those that run a job finish it first. None runs in
        the loop any more.
        """
        self._leaving = True
        self._ready.release(len(self.slots))
        self.coroutines.stop()
        if self.inline:
            contexts.end_thread()
            databases.end_executor()

    def offer(self, jobs: int) -> None:
        """So many jobs were put into the inbox."""
        if not self.inline:
            self._ready.release(jobs)

    def running(self) -> Iterator[Slot]:
        """The slots that run a job now."""
        for slot in self.slots:
            if slot.code:
                yield slot
        if self.coroutines.busy:
            for task_slot in self.coroutines.slots:
                if task_slot.code:
                    yield task_slot

    @property
    def busy(self) -> bool:
        """Whether a job runs, or has been taken to be run."""
        return (
            self.coroutines.busy
            or bool(self._reaching)
            or any(slot.code for slot in self.slots)
        )

    def is_stuck(self, now: float) -> bool:
        """Nobody will come to the inbox soon: every executor's job is a slow one."""
        slots: Sequence[Slot] = self.slots
        if self.inline and not slots[0].code and self.coroutines.full:
            slots = self.coroutines.slots
        long_ago = now - BATCH_SECONDS
        return self._inbox.filled_at < long_ago and all(
            slot.code and slot.started < long_ago for slot in slots
        )

    def room(self, *, plenty: bool) -> int:
        """How many jobs to claim: what can start at once, and a little ahead. Where
        there are ``plenty`` also for executors that are free soon, if too few wait.
        """
        self._aim = self._free_soon(monotonic()) if plenty else 0
        if self.is_stocked:
            return 0
        want = sum(1 for slot in self.slots if not slot.code) * self.pace.batch
        want = min(LARGEST_BATCH, want + self._aim)
        if self.coroutines.started:
            # Only the main thread leaves in the inbox what finds no place.
            want = min(want, self.coroutines.free + (self._aim if self.inline else 0))
        elif self.inline:
            return want
        return max(0, want - len(self._inbox))

    @property
    def is_stocked(self) -> bool:
        """Executors that become free find enough to go on with."""
        return 2 * self._inbox.stock > self._aim > 0

    @property
    def is_robbed(self) -> bool:
        """Somebody is free, and what was claimed for them was taken by others."""
        somebody = self.inline or not all(slot.code for slot in self.slots)
        return somebody and len(self._inbox) > 0 and not self._inbox.stock

    def until_soon(self, now: float) -> float | None:
        """Seconds until an executor is free soon; None if that is not to be foreseen."""
        slots, pace = self._foreseen()
        begin = now + SOON_SECONDS
        waits = [pace.ends_at(slot.started) - begin for slot in slots if slot.code]
        return min((wait for wait in waits if 0 < wait < inf), default=None)

    def _free_soon(self, now: float) -> int:
        slots, pace = self._foreseen()
        return sum(
            1
            for slot in slots
            if slot.code
            and -SOON_SECONDS < pace.ends_at(slot.started) - now < BATCH_SECONDS
        )

    def _foreseen(self) -> tuple[Sequence[Slot], Pace]:
        """Those for whom jobs may wait in the inbox, and what is known of their jobs."""
        if not self.inline:
            return self.slots, self.pace
        if self.coroutines.started:
            return self.coroutines.slots, self.coroutines.pace
        return (), self.pace

    @property
    def runs_ahead(self) -> bool:
        """Whether to claim already while these work."""
        return self.inline and not self.coroutines.started and self.pace.runs_ahead

    def take_expected(self) -> bool:
        """Whether ``work_off`` came to what was claimed ahead, since last asked."""
        expected, self._expected = self._expected, False
        return expected

    @property
    def takes_next(self) -> bool:
        """Whether ``work_off`` takes what comes into an empty inbox."""
        return self.inline and not self.coroutines.full

    @property
    def has_left(self) -> bool:
        """Whether ``work_off`` has left something for which there is a place by now."""
        return len(self._inbox) > 0 and self.takes_next

    def work_off(self) -> int:
        """Run what is in the inbox, in this thread; gives how many it started."""
        if not self.inline:
            return 0
        slot, inbox = self.slots[0], self._inbox
        begun = now = monotonic()
        jobs = 0
        while not self.coroutines.full:
            with self._taking:
                entry = inbox.take()
                if entry is None:
                    break
                if isinstance(entry, Announced):
                    self._expected = True
                    break
                prepared = self._place(slot, entry, now)
                self._at_work = prepared is not None
            now = self._run(slot, prepared, now)
            self._at_work = False
            jobs += 1
        self.coroutines.flush()
        self.pace.learn(now - begun, jobs)
        return jobs

    def _refill(self, place: TaskSlot) -> Prepared | None:
        """Take a job for a place of the loop, which a job has just left; in its thread.

        To go to the main thread for that, and back, would take as long as all that a
        job needs. What the loop cannot run it lays back as the first, and leaves the
        inbox to the main thread until that has taken it.
        """
        while self._take_for(place):
            assert place.job is not None
            prepared = self._execution.prepare(place, place.job)
            if prepared is not None:
                self._begun()
                return prepared
        return None

    def _take_for(self, place: TaskSlot) -> bool:
        """Put the next job there, if there is one that the loop may take."""
        if not self.inline or self._passed in self._inbox:
            return False
        if not self._taking.acquire(blocking=False):
            # The main thread goes on as long as there is a place.
            return False
        try:
            # What was handed over comes first. And what is laid back behind a job that
            # runs would be out of the supervisor's reach, if that held the interpreter.
            if self._at_work or self.coroutines.has_handed:
                return False
            while (entry := self._inbox.take()) is not None:
                if isinstance(entry, Announced):
                    self._passed = self._inbox.lay_back(entry)
                    return False
                code, job, station = entry
                now = monotonic()
                if not self._may_start(entry, now):
                    continue
                if not self._execution.knows_coroutine(job):
                    self._passed = self._inbox.lay_back(entry)
                    return False
                self.started += 1
                place.take(code, job, station, now)
                return True
            return False
        finally:
            self._taking.release()

    def _serve(self, slot: Slot) -> None:
        """What each thread of several does."""
        slot.begin_thread()
        databases.begin_executor()
        contexts.begin_thread()
        try:
            while True:
                self._ready.acquire()
                if self._leaving:
                    return
                # First the note, then the look: who finds the inbox empty and asks
                # whether anybody is busy does it the other way round.
                self._reaching.add(slot.number)
                self._serve_one(slot)
                self._reaching.discard(slot.number)
                self._completed()
        except BaseException as error:  # noqa: BLE001 - it is raised in the main thread
            self.fail(error)
        finally:
            databases.end_executor()

    def _serve_one(self, slot: Slot) -> None:
        entry = self._inbox.take()
        if entry is None or isinstance(entry, Announced):
            # Nothing is claimed ahead for several threads.
            return
        before = monotonic()
        prepared = self._place(slot, entry, before)
        self.pace.learn(self._run(slot, prepared, before) - before, 1)
        self.coroutines.flush()

    def _place(self, slot: Slot, entry: Entry, now: float) -> Prepared | None:
        """Have a job that was just taken begin: gives what is to be run in ``slot``. A
        coroutine function's job is the loop's then.
        """
        code, job, station = entry
        if not self._may_start(entry, now):
            return None
        self.started += 1
        slot.take(code, job, station, now)
        if not self.inline:
            self._begun()
        prepared = self._execution.prepare(slot, job)
        if prepared is None or not prepared[0].is_async:
            return prepared
        place = self.coroutines.place()
        if place is None:
            self.started -= 1
            station.outcomes.append(unstarted(job))
            slot.free()
        else:
            slot.move_to(place)
            self.coroutines.hand_over(place, prepared)
        return None

    def _run(self, slot: Slot, prepared: Prepared | None, now: float) -> float:
        """Run what ``_place`` gave; gives the time when it was over."""
        if prepared is not None:
            self._execution.run(slot, *prepared)
        after = monotonic()
        if after - now > BATCH_SECONDS:
            self.pace.slow()
        return after

    def _may_start(self, entry: Entry, now: float) -> bool:
        """Whether a job that was just taken may begin; what is held and may not goes
        back.
        """
        code, job, station = entry
        if not station.alive:
            return False
        lease = self._leases[group_of(code)]
        if now > lease or (self.cancelled and job.entry in self.cancelled):
            # Too late to start it; a cancelled one ends as such where it goes back.
            self.cancelled.discard(job.entry)
            station.outcomes.append(unstarted(job))
            return False
        return True


def _make_slots(board: Board, threads: int, *, inline: bool) -> list[Slot]:
    if inline and threading.current_thread() is threading.main_thread():
        return [MainSlot(board, 0)]
    return [ThreadSlot(board, number) for number in range(threads)]
