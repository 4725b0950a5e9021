"""The thread that keeps a child honest while its main thread runs a job.

It hears the supervisor, interrupts what runs too long, hands back what waits behind
a slow job, settles what has ended, and stores what jobs say of themselves. It
sleeps without a limit when nothing has run for a moment.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from django_redisjobs.core.exceptions import LeaseLost
from django_redisjobs.core.settlements import Settlement

from .bells import Bell, poll
from .outcome import CANCEL, SHUTDOWN, TIMEOUT
from .pace import BATCH_SECONDS
from .trouble import TROUBLE, Trouble

if TYPE_CHECKING:
    from .crew import Crew
    from .holdings import Holdings
    from .slots import Slot

NOTE_SECONDS: Final = 0.5
# Who has run something is likely to run more. Whoever rings for the next job has it wait
# for that: to wake a thread takes longer than a short job.
LINGER_SECONDS: Final = 5 * BATCH_SECONDS
PROBE_SECONDS: Final = 1.0
EXIT_ORPHANED: Final = 70


class Owner(Protocol):
    """The child, as its keeper sees it."""

    @property
    def is_in_batch(self) -> bool:
        """The main thread works off the inbox."""
        ...

    @property
    def is_waiting(self) -> bool:
        """The main thread sleeps and settles nothing."""
        ...

    def quiet(self) -> None:
        """Claim nothing more, finish what runs, and end."""

    def lease_lost(self) -> None: ...

    def dump(self) -> bool:
        """Show what all threads do; gives that Redis was asked."""
        ...


class Keeper(threading.Thread):
    """``control``: the descriptor on which the supervisor talks; None without one."""

    def __init__(
        self,
        owner: Owner,
        holdings: Holdings,
        crew: Crew,
        trouble: Trouble,
        control: int | None,
    ) -> None:
        super().__init__(name="redisjobs-keeper", daemon=True)
        self._owner = owner
        self._holdings = holdings
        self._crew = crew
        self._trouble = trouble
        self._control = control
        self._unread = b""
        self._bell = Bell()
        # Slot -> code of the job that was interrupted there: once is enough.
        self._struck: dict[int, int] = {}
        self._cancelled: dict[int, int] = {}
        self._noted_at = 0.0
        self._try_at = 0.0
        self._stopped = False
        # How many jobs were begun when that was last different, and when that was.
        self._begun = 0
        self._begun_at = -inf
        # Whether it will look again within a tick; else who has news rings.
        self.alert = False

    def ring(self) -> None:
        """There is something to look at, now."""
        self._bell.ring()

    def stop(self) -> None:
        self._stopped = True
        self._bell.ring()
        self.join()

    def run(self) -> None:
        try:
            self._watch()
        except BaseException as error:  # noqa: BLE001 - it is raised in the main thread
            # Nobody else would interrupt what runs too long.
            self._crew.fail(error)

    def _watch(self) -> None:
        descriptors = [self._bell.fileno()]
        if self._control is not None:
            descriptors.append(self._control)
        while not self._stopped:
            # First the flag, then the look: who changes something does it the other
            # way round, so that nothing is missed.
            self.alert = False
            seconds = self._patience(monotonic())
            ready = poll(descriptors, seconds)
            if self._bell.fileno() in ready:
                self._bell.clear()
            if self._control in ready:
                self._listen()
            self._look(monotonic())

    def _patience(self, now: float) -> float | None:
        """Seconds until something may have to be done; None: for ever. From now on it is
        alert, if that is within a tick.
        """
        tick = now + BATCH_SECONDS
        look_at = None
        for slot in self._crew.running():
            look_at = min(self._look_at(slot, tick), look_at or inf)
        if look_at is None and (self._owner.is_in_batch or self._is_lingering(now)):
            # Between two jobs.
            look_at = tick
        if self._holdings.has_outcomes or self._holdings.has_unstarted:
            look_at = min(max(tick, self._try_at), look_at or inf)
        # The moments, not the seconds between: their difference is more than a tick or
        # less, as the clock stands.
        self.alert = look_at is not None and look_at <= tick
        return None if look_at is None else max(0.0, min(NOTE_SECONDS, look_at - now))

    def _is_lingering(self, now: float) -> bool:
        if self._begun != self._crew.started:
            self._begun, self._begun_at = self._crew.started, now
        return now - self._begun_at < LINGER_SECONDS

    def _look_at(self, slot: Slot, tick: float) -> float:
        """When the job in that slot may have to be interrupted."""
        if slot.context is None:
            # Its function is not called yet: how long it may run is not known.
            return tick
        return inf if self._struck.get(slot.number) == slot.code else slot.soft

    def _look(self, now: float) -> None:
        running = list(self._crew.running())
        self._interrupt_late(running, now)
        self._crew.coroutines.note_kept()
        stuck = bool(running) and self._crew.is_stuck(now)
        if stuck:
            self._crew.coroutines.flush()
            self._redis(now, self._holdings.hand_back)
        noted = self._take_notes(running, now)
        if now < self._try_at:
            return
        settling = stuck or self._owner.is_waiting
        if noted or (settling and self._holdings.has_outcomes):
            self._redis(now, self._holdings.settle)
        elif running and self._holdings.doubts_lease(now):
            self._redis(now, partial(self._holdings.settle, probe=True))
            self._try_at = max(self._try_at, now + PROBE_SECONDS)

    def _interrupt_late(self, running: list[Slot], now: float) -> None:
        for slot in running:
            # The code before and after: so the limit read between is that job's.
            code = slot.code
            late = slot.soft <= now
            if not code or not late or slot.code != code:
                continue
            if self._struck.get(slot.number) != code:
                self._struck[slot.number] = code
                slot.strike(code, TIMEOUT)

    def _take_notes(self, running: list[Slot], now: float) -> bool:
        if now - self._noted_at < NOTE_SECONDS:
            return False
        self._noted_at = now
        noted = [slot for slot in running if self._take_note(slot)]
        return bool(noted)

    def _take_note(self, slot: Slot) -> bool:
        code, job, station = slot.code, slot.job, slot.station
        if not code or job is None or station is None or not station.alive:
            return False
        if not slot.note(code):
            return False
        note = Settlement("note", job, meta=slot.meta, progress=slot.progress)
        station.outcomes.append(note)
        return True

    def _redis(self, now: float, call: Callable[[], bool]) -> None:
        """``call`` gives whether it asked Redis; else that it went well tells nothing."""
        try:
            if call():
                self._trouble.over()
        except LeaseLost:
            self._owner.lease_lost()
        except TROUBLE as error:
            self._try_at = now + self._trouble.met(error)

    def _listen(self) -> None:
        assert self._control is not None
        try:
            data = os.read(self._control, 65536)
        except OSError:
            data = b""
        if not data:
            # The supervisor is gone: whatever runs here will be run by others.
            os._exit(EXIT_ORPHANED)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._obey(line.decode(errors="replace"))

    def _obey(self, message: str) -> None:
        word, _, rest = message.partition(" ")
        if word == "quiet":
            self._owner.quiet()
        elif word == "interrupt":
            self.interrupt_all()
        elif word == "cancel":
            self.cancel(rest)
        elif word == "dump":
            self._redis(monotonic(), self._owner.dump)

    def interrupt_all(self) -> None:
        """Have every running job stop: the worker cannot wait any longer."""
        for slot in list(self._crew.running()):
            slot.strike(slot.code, SHUTDOWN)

    def interrupt_void(self) -> None:
        """Have those jobs stop whose lease is lost: others may run them by now."""
        # The codes of a new worker id begin anew.
        self._struck.clear()
        self._cancelled.clear()
        for slot in list(self._crew.running()):
            code, station = slot.code, slot.station
            if station is not None and not station.alive:
                slot.strike(code, SHUTDOWN)

    def cancel(self, entry: str) -> None:
        """Interrupt that attempt (``ID TOKEN``: tokens repeat from group to group), or
        have it end when it would start. May be said again and again: it is told with
        each beat.
        """
        # First the note, then the look: whoever starts it does it the other way round.
        self._crew.cancelled.add(entry)
        for slot in list(self._crew.running()):
            code, job = slot.code, slot.job
            if code and job is not None and job.entry == entry and slot.code == code:
                self._crew.cancelled.discard(entry)
                if self._cancelled.get(slot.number) != code:
                    self._cancelled[slot.number] = code
                    slot.strike(code, CANCEL)
