"""The main process of a worker: starts children, sees them die, ends them.

It runs no jobs and holds no connection of any kind, so that it can fork at any
moment. Whatever concerns Redis it leaves to its liaison.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import selectors
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from . import databases
from .child import Child
from .delegation import LiaisonProcess
from .forking import SHORT_LIFE_SECONDS, describe_end, fork, kill_group, prepare_to_fork
from .health import Health
from .limits import MemoryLimit
from .machine import adopts_orphans, supervised_identity
from .memory import ENDINGS, STOPPING, TURNED, Phase, Running, SharedMemory
from .offspring import HUNG, Offspring
from .outcome import TIMEOUT
from .rescues import rescue_request
from .shutdown import Shutdown, Step
from .summary import Summary
from .trouble import patience
from .watch import InboxWatch

if TYPE_CHECKING:
    from types import FrameType

    from .options import WorkerOptions
    from .probes import Probes
    from .stations import Post

logger = logging.getLogger("redisjobs.worker")

LOOK_SECONDS: Final = 0.5
# Who was not run for so long himself (a stopped or frozen machine) blames nobody
# for being late until they had the time to catch up.
FROZEN_SECONDS: Final = 5.0
FORGIVING_SECONDS: Final = 15.0
LONGEST_RESTART_SECONDS: Final = 10.0


class Supervisor:
    """``run`` returns when the work is over."""

    def __init__(
        self,
        options: WorkerOptions,
        posts: Sequence[Post],
        info: dict[str, str],
        probes: Probes | None = None,
    ) -> None:
        self._options = options
        self._posts = posts
        self._info = info
        self._memory = SharedMemory(options.processes, options.slots, len(posts))
        self._children = [
            Offspring(number, self._memory.board(number), options.threads)
            for number in range(options.processes)
        ]
        boards = [child.board for child in self._children]
        common = self._memory.common
        health = Health(boards, common, options.name, options.queues)
        self._probes = None if probes is None else probes.in_process(health)
        self._selector = selectors.DefaultSelector()
        self._watch = InboxWatch(self._selector, options.threads)
        self._liaison = LiaisonProcess(
            self._selector, posts, boards, common, options.name, self._own_descriptors
        )
        self._adopts = adopts_orphans()
        self._limit = MemoryLimit(options.max_rss)
        self._patience = patience(burst=options.burst)
        self._shutdown = Shutdown(options.grace)
        self._asked = 0
        self._wake_read, self._wake_write = os.pipe()
        self._looked_at = monotonic()
        self._forgiving_until = 0.0
        self._summary = Summary(monotonic())

    def run(self, ready: Callable[[], None]) -> None:
        """``ready`` is called when a signal would be obeyed.

        Raises ServerUnavailable: Redis was away for too long for a burst.
        """
        self._take_signals()
        ready()
        prepare_to_fork()
        self._liaison.start()
        if self._options.burst:
            self._await_first_look()
        while not self._is_over():
            now = monotonic()
            self._memory.common[TURNED] = now
            self._start_children(now)
            self._liaison.tend(now)
            if self._probes is not None:
                self._probes.tend(now, self._own_descriptors())
            self._wait(now)
            self._reap()
            self._look(monotonic())
        self._say_farewell()
        self._patience.check()

    # Signals

    def _take_signals(self) -> None:
        for descriptor in (self._wake_read, self._wake_write):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, "signal")
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._on_stop)
        # Only to wake the selector: the wake-up descriptor needs a handler.
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._asked += 1

    # Starting

    def _await_first_look(self) -> None:
        """What dead workers held has to be back before a burst believes all is done."""
        number = self._liaison.ask("look")
        for child in self._children:
            child.start_after = number

    def _start_children(self, now: float) -> None:
        for child in self._to_start():
            if now < child.start_at:
                continue
            try:
                self._fork_child(child)
            except OSError as error:
                # No process or descriptor is left, perhaps for a moment: that is no
                # reason to end those that work.
                logger.warning(
                    "A worker process cannot be started: %s. It is tried again.", error
                )
                child.close()
                self._put_off_start(child, now)

    def _to_start(self) -> list[Offspring]:
        """Those that take the place of one that ended, when their time has come."""
        if self._shutdown.begun:
            return []
        return [
            child
            for child in self._children
            if not child.alive
            and not child.finished
            and not self._liaison.is_open(child.start_after)
        ]

    def _fork_child(self, child: Offspring) -> None:
        control = child.prepare()
        close = self._own_descriptors(besides=child)

        def run() -> int:
            return self._be_child(child, control)

        try:
            child.began(fork(run, [*close, child.control], apart=True), monotonic())
        finally:
            os.close(control)
        self._watch.begin(child)

    def _be_child(self, offspring: Offspring, control: int) -> int:
        databases.begin_process()
        child = Child(
            self._options,
            self._posts,
            offspring.board,
            offspring.inbox,
            {**self._info, **supervised_identity()},
            control=control,
        )
        signal.signal(signal.SIGTERM, lambda *_: child.quiet())
        if not faulthandler.is_enabled():
            faulthandler.enable(offspring.trace, all_threads=False)
        ending = child.run()
        offspring.board.enter(ending, inf)
        return 0

    def _own_descriptors(self, besides: Offspring | None = None) -> list[int]:
        """What a new process must not keep open: the end of a pipe tells a death."""
        found = [self._wake_read, self._wake_write, self._selector.fileno()]
        found += self._liaison.descriptors
        if self._probes is not None:
            found += self._probes.descriptors
        for child in self._children:
            if child is not besides:
                found += child.descriptors
        return found

    # Waiting

    def _wait(self, now: float) -> None:
        until = min(
            self._looked_at + LOOK_SECONDS,
            self._shutdown.next_at,
            self._watch.next_at,
            *(child.start_at for child in self._to_start()),
        )
        seconds = max(0.0, until - now)
        for key, _ in self._selector.select(seconds):
            if key.data == "signal":
                self._drain_wakeups()
            elif key.data is self._liaison:
                self._hear_liaison()
            elif isinstance(key.data, Offspring):
                self._watch.wake(key.data)

    def _drain_wakeups(self) -> None:
        try:
            while os.read(self._wake_read, 4096):
                pass
        except BlockingIOError:
            pass

    def _hear_liaison(self) -> None:
        for message in self._liaison.hear():
            if "away" in message:
                self._heed_absence(message["away"])
            else:
                self._obey(message["worker"], message["message"])

    def _heed_absence(self, seconds: float) -> None:
        if not self._shutdown.begun and self._patience.loses(seconds):
            self._asked += 1

    def _obey(self, worker: str, message: str) -> None:
        """What people ask of one of our worker ids."""
        word, _, entry = message.partition(" ")
        if word in ("stop", "quiet"):
            # One worker, to people: all its processes end together.
            self._shutdown.ask(monotonic(), patient=word == "quiet")
            return
        for child in self._children:
            if child.alive and child.board.worker == worker:
                child.say(message)
                if word == "cancel":
                    child.cancel(entry, monotonic() + self._options.overrun)

    # Deaths

    def _reap(self) -> None:
        for child in self._children:
            if child.alive:
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    self._bury(child, describe_end(status, usage))
        self._liaison.reap(over=self._is_over())
        if self._adopts:
            self._reap_adopted()

    def _reap_adopted(self) -> None:
        """What jobs had started and left behind. Else each would keep its number until
        there are none left.
        """
        own = {self._liaison.pid, *(child.pid for child in self._children)}
        if self._probes is not None:
            own.add(self._probes.pid)
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with suppress(ChildProcessError):
            while (found := os.waitid(os.P_ALL, 0, look)) is not None:
                if found.si_pid in own:
                    # It died just now. Whoever knows it takes it, and then the others
                    # are seen.
                    return
                os.waitpid(found.si_pid, os.WNOHANG)

    def _bury(self, child: Offspring, end: str) -> None:
        running = child.running()
        clean = child.board.phase in ENDINGS and not running
        self._limit.look_at(child.board)
        if not clean:
            # What a job started must not meet its next run.
            kill_group(child.pid)
        self._rescue(child, running, end, clean=clean)
        self._watch.end(child)
        self._summary.keep(child.board)
        pid, child.pid = child.pid, 0
        child.close()
        if clean:
            child.failed_starts = 0
            child.start_at = 0.0
            child.finished = child.board.phase is Phase.EXHAUSTED
            return
        if not self._shutdown.begun:
            logger.warning(
                "Worker process %d ended: %s. A new one takes its place.",
                pid,
                child.killed_for or end,
            )
        self._plan_restart(child, had_jobs=bool(running))

    def _plan_restart(self, child: Offspring, *, had_jobs: bool) -> None:
        now = monotonic()
        if had_jobs or now - child.started_at > SHORT_LIFE_SECONDS:
            child.failed_starts = 0
            child.start_at = now
            return
        self._put_off_start(child, now)

    def _put_off_start(self, child: Offspring, now: float) -> None:
        """It could not even start: no use in trying a hundred times a second."""
        child.failed_starts += 1
        delay = min(LONGEST_RESTART_SECONDS, 0.2 * 2.0**child.failed_starts)
        child.start_at = now + delay

    def _rescue(
        self, child: Offspring, running: Sequence[Running], end: str, *, clean: bool
    ) -> None:
        self._rescue_left_behind(child)
        if child.board.generation == 0:
            return
        codes = [one.code for one in running]
        overrun = child.overrun
        if overrun is not None and overrun.code not in codes:
            overrun = None
        request = rescue_request(
            child.board.worker,
            codes=codes,
            charged=not clean and not child.killed_for,
            reason=child.killed_for or end,
            remains=[child.remains(one) for one in running],
            overrun=overrun,
            killed=bool(child.killed_for) and not self._shutdown.begun,
        )
        number = self._liaison.ask("rescue", **request)
        # In a burst its successor must find what it left, or believe all is done.
        child.start_after = number if self._options.burst else 0

    def _rescue_left_behind(self, child: Offspring) -> None:
        for old in child.left_behind():
            request = rescue_request(old, reason="its lease was lost")
            self._liaison.ask("rescue", **request)

    # Looking after everything

    def _look(self, now: float) -> None:
        for child, codes in self._watch.tick():
            if codes:
                worker = child.board.worker
                self._liaison.ask("hand_back", worker=worker, codes=codes)
        self._liaison.flush()
        self._proceed_with_shutdown(now)
        if now - self._looked_at < LOOK_SECONDS:
            return
        if now - self._looked_at > FROZEN_SECONDS:
            self._forgiving_until = now + FORGIVING_SECONDS
        self._looked_at = now
        for child in self._children:
            if child.alive:
                self._look_at(child, now)
        if now >= self._forgiving_until:
            self._liaison.end_if_hung(now)
        living = (child.board for child in self._children if child.alive)
        self._summary.tell(now, living)

    def _look_at(self, child: Offspring, now: float) -> None:
        self._limit.look_at(child.board)
        if child.has_new_id:
            self._rescue_left_behind(child)
            self._liaison.ask("look")
        if now < self._forgiving_until or child.killed_for:
            return
        overrun = child.find_overrun(now)
        if overrun is not None:
            child.overrun = overrun
            what = "timeout" if overrun.reason == TIMEOUT else "cancelling"
            child.kill(f"job {overrun.job_id} ignored its {what} and was killed")
        elif child.hangs(now):
            child.kill(HUNG)

    # Ending

    def _proceed_with_shutdown(self, now: float) -> None:
        while self._asked:
            self._asked -= 1
            if not self._shutdown.begun:
                logger.info("Stopping: running jobs have %g s.", self._options.grace)
            self._shutdown.ask(now)
        if self._shutdown.begun:
            self._memory.common[STOPPING] = 1
        for step in self._shutdown.steps(now):
            for child in self._children:
                if step is Step.QUIET:
                    child.say("quiet")
                elif step is Step.INTERRUPT:
                    child.say("interrupt")
                else:
                    child.kill("it did not stop within its grace")

    def _is_over(self) -> bool:
        if any(child.alive for child in self._children):
            return False
        return self._shutdown.begun or all(child.finished for child in self._children)

    def _say_farewell(self) -> None:
        """Have the liaison finish; then nothing of this worker is left in Redis."""
        self._liaison.ask("dismiss")
        if self._probes is not None:
            self._probes.end()
        self._liaison.see_off(self._pause)
        signal.set_wakeup_fd(-1)
        self._selector.close()

    def _pause(self) -> None:
        self._selector.select(0.1)
        self._drain_wakeups()
