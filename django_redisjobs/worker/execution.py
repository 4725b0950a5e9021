"""Running one attempt: what surrounds a job's function, and what comes of it.

The decision is made in ``outcome``; this module acts on it. It is the hot path:
what a job does not use costs it nothing.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from math import inf
from random import Random
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.dispatch import Signal
from django.utils import translation

from django_redisjobs import conf, signals
from django_redisjobs.context import JobContext, enter, leave
from django_redisjobs.core.payload import Body, check_size, parse_body
from django_redisjobs.core.settlements import Claimed, Settlement
from django_redisjobs.redaction import discreet
from django_redisjobs.retries import Retry
from django_redisjobs.serialization import codec

from . import contexts, databases
from .attempts import settlement
from .memory import FAILED, RETRIED, SUCCEEDED, Board
from .outcome import ArgumentsRefused, Description, Verdict, describe, judge
from .receivers import tell
from .recording import lines_of, lines_text

if TYPE_CHECKING:
    from .logs import JobLog
    from .plans import Plan, Plans, Prepared
    from .slots import Slot

_NO_RETRY = Retry(max=0)
_NOT_AWAITED = (
    "it returned a coroutine, so nothing of it ran. A decorator between @job and an "
    "'async def' has to be an 'async def' itself, and await what it wraps."
)
# Before Python 3.13 to clear the frame of a coroutine or generator that is suspended
# closed it, whosever it was.
_SPARES_SUSPENDED = sys.version_info >= (3, 13)
_SUSPENDABLE = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR
_COUNTERS = {"succeeded": SUCCEEDED, "failed": FAILED, "retry": RETRIED}
_GOES_ON = frozenset({"retry", "released", "parked"})
_SIGNALS: dict[str, Signal] = {
    "failed": signals.job_failed,
    "retry": signals.job_retried,
    "cancelled": signals.job_cancelled,
}


class Execution:
    """How this process runs jobs. Shared by all its executors.

    ``settle_now`` is called when a job has ended whose function wants no other one
    to begin before that is written.
    """

    refresh: Callable[[], None] = staticmethod(databases.refresh)
    """Before and after each job: the connections to databases."""

    def __init__(
        self,
        plans: Plans,
        log: JobLog,
        board: Board,
        *,
        overrun: float,
        max_payload: int,
        settle_now: Callable[[], None],
    ) -> None:
        self._plans = plans
        self._log = log
        self._cells = board.cells
        self._overrun = overrun
        self._max_payload = max_payload
        self.settle_now = settle_now
        self._signatures = conf.get_settings().signatures
        self._rng = Random()

    def knows_coroutine(self, job: Claimed) -> bool:
        """Whether it is certain, before anything is decoded or imported, that this is
        a job of a coroutine function.
        """
        return self._plans.knows_coroutine(job.body)

    def prepare(self, slot: Slot, job: Claimed) -> Prepared | None:
        """How to run the job that took the slot. None: it cannot be, which has been
        settled, and the slot is free.
        """
        body: Body | None = None
        try:
            body = parse_body(job.body)
            if self._signatures is not None:
                self._signatures.check(job.id, job.body)
            return self._plans.of(body, job.queue), body
        except BaseException as error:  # noqa: BLE001 - an import may raise anything
            self.fail(slot, None, body, error)
            return None

    def run(self, slot: Slot, plan: Plan, body: Body) -> None:
        """Run a plain function's job; what comes of it waits at its station."""
        contexts.for_job().run(self._run, slot, plan, body)
        if plan.settle_each:
            self.settle_now()

    def _run(self, slot: Slot, plan: Plan, body: Body) -> None:
        job = slot.job
        assert job is not None
        returned: list[Any] = []
        try:
            returned.append(self._call(slot, job, plan, body))
        except BaseException as error:  # noqa: BLE001 - a job may raise anything
            slot.quiet()
            self.fail(slot, plan, body, error)
        else:
            self.succeed(slot, plan, returned)

    def _call(self, slot: Slot, job: Claimed, plan: Plan, body: Body) -> Any:
        self.refresh()
        context = self.context(job, plan)
        token = enter(context)
        try:
            body = body.decoded(codec)
            self.begin(slot, plan, context, slot.started)
            if plan.using is None and not plan.language:
                return _armed(slot, plan.function, body)
            return _surrounded(slot, plan, body)
        finally:
            leave(token)
            self.refresh()

    def context(self, job: Claimed, plan: Plan) -> JobContext:
        return JobContext(
            id=job.id,
            function=plan.name,
            queue=job.queue,
            attempt=job.attempts + 1,
            run=job.run,
            meta=job.meta,
        )

    def begin(self, slot: Slot, plan: Plan, context: JobContext, now: float) -> None:
        """The job's function is about to be called; its time runs from ``now``."""
        slot.context = context
        context.overhear = slot.overhear
        if plan.timeout is None:
            slot.limit(inf, inf)
        else:
            slot.limit(now + plan.timeout, now + plan.timeout + self._overrun)
        if signals.job_started.receivers:
            _send(signals.job_started, slot, plan)

    def succeed(self, slot: Slot, plan: Plan, returned: list[Any]) -> None:
        """The function returned the one value in this list, out of which it is taken: it
        has to die while its job is known to run. A destructor may hang or crash, too.
        """
        value = returned.pop()
        if type(value) is CoroutineType:
            value.close()
            self.fail(slot, plan, None, TypeError(_NOT_AWAITED), final=True)
            return
        result: str | None = None
        try:
            slot.last_note()
            if plan.result_ttl_ms:
                result = self._result_text(plan, value)
        except BaseException as error:  # noqa: BLE001 - values have code of their own
            value = None
            self.fail(slot, plan, None, error, final=True)
            return
        finished = monotonic()
        job, station = slot.job, slot.station
        assert job is not None
        assert station is not None
        ended = Settlement(
            "succeeded",
            job,
            plan.name,
            station.milliseconds(slot.started),
            station.milliseconds(finished),
            0,
            result,
            plan.result_ttl_ms,
            slot.meta or job.meta,
            slot.progress,
        )
        if slot.lines:
            ended.logs = lines_text(lines_of(slot.lines, job.body))
        if signals.job_succeeded.receivers:
            _send(signals.job_succeeded, slot, plan, result=value)
        if self._log.tells_success:
            self._log.succeeded(job, plan.name, finished - slot.started)
        value = None
        self._settle(slot, ended)

    def fail(
        self,
        slot: Slot,
        plan: Plan | None,
        body: Body | None,
        error: BaseException,
        *,
        final: bool = False,
    ) -> None:
        """The attempt ended with an exception; the slot is disarmed. ``final``: the
        function returned, and no other attempt follows.
        """
        job, station = slot.job, slot.station
        assert job is not None
        assert station is not None
        if body is not None and plan is not None:
            error = _about_arguments(error, plan, body)
        verdict = self._judge(slot, plan, error, final=final)
        name = plan.name if plan else (body.function if body else "")
        what = describe(
            error, _reason(slot, plan), lambda text: discreet(text, job.body)
        )
        # What it wrote and cannot be carried is not the reason of this failure, whatever
        # the code of its values raises.
        with suppress(Exception):
            slot.last_note()
        ended = settlement(
            verdict,
            job,
            name,
            what,
            started_ms=station.milliseconds(slot.started),
            finished_ms=station.milliseconds(monotonic()),
            logs=lines_of(slot.lines, job.body),
        )
        ended.meta, ended.progress = slot.meta or job.meta, slot.progress
        self._announce(slot, plan, name, verdict, what, error)
        self.let_go(error)
        self._settle(slot, ended)

    def _announce(
        self,
        slot: Slot,
        plan: Plan | None,
        name: str,
        verdict: Verdict,
        what: Description,
        error: BaseException,
    ) -> None:
        assert slot.job is not None
        signal = _SIGNALS.get(verdict.kind)
        if signal is not None and signal.receivers:
            _send(signal, slot, plan, exception=error)
        most = plan.retry.max if plan else 0
        self._log.ended(slot.job, name, verdict, what, most)

    def _judge(
        self, slot: Slot, plan: Plan | None, error: BaseException, *, final: bool
    ) -> Verdict:
        assert slot.job is not None
        if plan is None:
            return judge(error, retries_made=0, retry=_NO_RETRY, rng=self._rng)
        return judge(
            error,
            retries_made=slot.job.attempts,
            retry=plan.retry,
            rng=self._rng,
            interrupted=slot.fired,
            discard_missing=plan.discard_missing,
            final=final,
            called=final or slot.context is not None,
        )

    def let_go(self, error: BaseException) -> None:
        """Have what the frames of a failed job hold die while it is known to run, as
        ``succeed`` does with what it returned.
        """
        for each in _related(error):
            for frame, _ in traceback.walk_tb(each.__traceback__):
                if _SPARES_SUSPENDED or not frame.f_code.co_flags & _SUSPENDABLE:
                    with suppress(RuntimeError):
                        # It may go on elsewhere.
                        frame.clear()

    def _settle(self, slot: Slot, ended: Settlement) -> None:
        station = slot.station
        if station is not None and station.alive:
            if ended.kind in _GOES_ON and (slot.meta or slot.progress):
                # A job that goes on later keeps its notes elsewhere than at its end.
                station.outcomes.append(
                    Settlement(
                        "note", ended.job, meta=slot.meta, progress=slot.progress
                    )
                )
            station.outcomes.append(ended)
            counter = _COUNTERS.get(ended.kind)
            if counter is not None:
                self._cells[counter] += 1
        slot.free()

    def _result_text(self, plan: Plan, value: object) -> str:
        if value is None:
            return "null"
        text = codec.dumps(value, "the result")
        check_size(text, self._max_payload, "The result of ", plan.name)
        return text


def _send(signal: Signal, slot: Slot, plan: Plan | None, **more: Any) -> None:
    job = slot.job
    assert job is not None
    tell(
        signal,
        plan.definition if plan else None,
        job_id=job.id,
        queue=job.queue,
        attempt=job.attempts + 1,
        run=job.run,
        **more,
    )


def _related(error: BaseException) -> Iterator[BaseException]:
    """It, and all that led to it."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def _armed(slot: Slot, function: Callable[..., Any], body: Body) -> Any:
    try:
        slot.arm()
        return function(*body.args, **body.kwargs)
    finally:
        slot.quiet()


def _surrounded(slot: Slot, plan: Plan, body: Body) -> Any:
    # Armed only inside: an interrupt must never strike between a commit and its end.
    with ExitStack() as stack:
        if plan.language:
            stack.enter_context(translation.override(plan.language))
        if plan.using is not None:
            stack.enter_context(transaction.atomic(using=plan.using))
        return _armed(slot, plan.function, body)


def _about_arguments(error: BaseException, plan: Plan, body: Body) -> BaseException:
    """A TypeError of a call that this build's function cannot take at all: its code
    never ran, and a worker of another build may still know what to do.
    """
    if not isinstance(error, TypeError):
        return error
    try:
        plan.definition.check_arguments(body.args, body.kwargs)
    except TypeError as unbound:
        return ArgumentsRefused(
            f"{unbound}. The stored arguments wait for a worker whose code takes them."
        )
    return error


def _reason(slot: Slot, plan: Plan | None) -> str:
    if slot.fired and plan is not None and plan.timeout is not None:
        return f"it ran longer than its timeout of {plan.timeout:g} s"
    return ""
