"""One job as its page shows it: decoded as far as possible, never an error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_redisjobs import conf, registry
from django_redisjobs.admin.formats import (
    NOTHING,
    badge,
    between,
    duration,
    number,
    pretty,
    shortened,
    when,
)
from django_redisjobs.admin.links import Links
from django_redisjobs.admin.sources import moment
from django_redisjobs.admin.traces import Frame, frames
from django_redisjobs.calls import ask
from django_redisjobs.context import Progress
from django_redisjobs.core import lookup
from django_redisjobs.core.payload import Body, parse_body
from django_redisjobs.core.records import (
    ENDED,
    AttemptRecord,
    JobRecord,
    JobStatus,
    LogLine,
)
from django_redisjobs.core.scripts import Conversation, together
from django_redisjobs.exceptions import (
    PayloadMalformed,
    RedisJobsError,
    ServerUnavailable,
    UnknownQueue,
)
from django_redisjobs.models import Job
from django_redisjobs.policies import Policy
from django_redisjobs.redaction import (
    discreet,
    names_of,
    redacted,
    redacted_value,
    unreadable,
)
from django_redisjobs.serialization import snapshot_codec
from django_redisjobs.snapshots import date_of

# What a value that names a class of this project may raise while it is decoded.
UNREADABLE = (RedisJobsError, LookupError, TypeError, ValueError, AttributeError)
RUNS_SHOWN: Final = 6
"""Runs that the timeline shows; the list below it has all that are kept."""
CALLBACK = re.compile(r"(.+)-[sf]\d+")


@dataclass(frozen=True, slots=True)
class Argument:
    """A parameter, by name or by place, and its value."""

    name: str
    value: str
    links: Sequence[SafeString] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to the job, or will. ``tone`` is a status."""

    title: Any
    tone: str
    at: SafeString | str
    note: Any = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line that the job logged."""

    at: SafeString | str
    level: str
    logger: str
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run that ended."""

    record: AttemptRecord
    outcome: SafeString
    started: SafeString | str
    finished: SafeString | str
    waited: str
    took: str
    traceback: Sequence[Frame]
    logs: Sequence[Line]
    is_last: bool

    @property
    def is_open(self) -> bool:
        """Whether its details are shown at once."""
        return self.is_last and bool(self.traceback or self.logs)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around the job: when it is due next, the job whose end it was made by,
    and the callbacks of its own ends, the newest first.
    """

    due_ms: int = 0
    parent: JobRecord | None = None
    callbacks: Sequence[JobRecord] = ()


class JobPage:
    """What the template of one job shows."""

    def __init__(self, row: Job, links: Links) -> None:
        self.row = row
        self.record = row.record
        self._links = links

    @property
    def state(self) -> SafeString:
        """The status as a badge."""
        return badge(self.row.status)

    @property
    def is_live(self) -> bool:
        """Whether something may still happen to it by itself."""
        return self.record.status not in ENDED

    @property
    def is_running(self) -> bool:
        return self.record.status is JobStatus.RUNNING

    # -- in short ----------------------------------------------------------------

    def facts(self) -> Iterator[tuple[str, Any]]:
        """Names and values of what is short."""
        row, record = self.row, self.record
        yield _("Queue"), self._links.queue(row.queue)
        if row.priority:
            yield _("Priority"), row.priority
        yield _("Enqueued"), when(row.enqueued_at)
        if self._due_ms:
            yield _("Due"), when(moment(self._due_ms))
        if row.expires_at:
            yield _("Expires"), when(row.expires_at)
        if record.started_ms:
            yield _("Waited"), _span(self._ready_ms, record.started_ms) or NOTHING
            yield _("Started"), when(row.started_at)
        if row.finished_at:
            yield _("Finished"), when(row.finished_at)
            yield _("Took"), between(row.started_at, row.finished_at)
        elif self.is_running:
            yield _("Runs for"), _since(row.started_at)
        if self._policy and self._policy.timeout is not None:
            yield _("Timeout"), duration(self._policy.timeout)
        yield _("Runs"), number(row.run)
        yield from self._retries()
        yield _("Crashes"), self._crashes()
        if row.worker.strip("-"):
            # Others have most likely ended since.
            link = self._links.worker(row.worker) if self.is_running else row.worker
            yield _("Worker"), link
        yield from self._family()

    def _retries(self) -> Iterator[tuple[str, Any]]:
        if self._policy is None:
            return
        most, made = self._policy.retry.max, self.record.attempts_made
        if self.is_live:
            words = _("%(left)d of %(most)d left")
            yield _("Retries"), words % {"left": max(0, most - made), "most": most}
        elif most:
            words = _("%(used)d of %(most)d used")
            used = min(most, max(0, made - 1))
            yield _("Retries"), words % {"used": used, "most": most}

    def _crashes(self) -> Any:
        most, crashes = conf.get_settings().max_crashes, self.row.crashes
        if not crashes:
            return number(0)
        return _("%(crashes)d of %(most)d") % {"crashes": crashes, "most": most}

    def _family(self) -> Iterator[tuple[str, Any]]:
        if match := CALLBACK.fullmatch(self.row.pk):
            parent = self._around.parent
            # It may have been deleted, or its retention is over.
            yield _("Callback of"), self._relative(parent) if parent else match[1]
        for record in self._around.callbacks:
            is_success = record.id.rpartition("-")[2].startswith("s")
            name = (
                _("Callback of its success")
                if is_success
                else _("Callback of its failure")
            )
            yield name, self._relative(record)

    def _relative(self, record: JobRecord) -> SafeString:
        return format_html("{} {}", badge(record.status), self._links.job(record.id))

    # -- what happened ---------------------------------------------------------------

    def timeline(self) -> Iterator[Step]:
        """What happened to it and what comes next, in order."""
        record = self.record
        yield Step(_("Enqueued"), "pending", when(moment(record.enqueued_ms)))
        runs = record.attempts
        is_due = record.status is not JobStatus.SCHEDULED
        if is_due and record.due_ms > record.enqueued_ms and not runs:
            yield Step(_("Due"), "scheduled", when(moment(record.due_ms)))
        older = len(runs) - RUNS_SHOWN
        if older > 0:
            yield Step(_("%d earlier runs") % older, "pending", NOTHING)
        waits = self._waits
        for place, run in enumerate(runs):
            if place < older:
                continue
            yield Step(
                _("Run %d") % run.run,
                run.outcome,
                when(moment(run.started_ms)),
                _run_note(waits[place], _span(run.started_ms, run.finished_ms)),
            )
        yield self._present()

    def _present(self) -> Step:
        """Where it stands now, or how it ended."""
        record, status = self.record, self.record.status
        title = badge_text(status)
        if status in ENDED:
            whole = _span(record.enqueued_ms, record.finished_ms)
            note = _("after %s altogether") % whole if whole else ""
            return Step(title, status.value, when(moment(record.finished_ms)), note)
        if status is JobStatus.RUNNING:
            waited = _span(self._ready_ms, record.started_ms)
            return Step(
                _("Run %d") % record.run,
                status.value,
                when(moment(record.started_ms)),
                _("waited %(waited)s, runs for %(ran)s")
                % {"waited": waited or NOTHING, "ran": _since(self.row.started_at)},
            )
        if status is JobStatus.SCHEDULED and self._due_ms:
            at = when(moment(self._due_ms))
            name = _("Next run") if record.attempts else _("Due")
            return Step(name, status.value, at, self._time_left())
        return Step(title, status.value, when(moment(self._ready_ms)))

    def _time_left(self) -> str:
        left = (date_of(self._due_ms) - timezone.now()).total_seconds()
        return _("in %s") % duration(left) if left > 0 else _("any moment")

    @cached_property
    def attempts(self) -> list[Attempt]:
        """The runs that ended, the newest first."""
        last = len(self.record.attempts) - 1
        return [
            self._attempt(record, self._waits[place], is_last=place == last)
            for place, record in enumerate(self.record.attempts)
        ][::-1]

    def _attempt(self, record: AttemptRecord, waited: str, *, is_last: bool) -> Attempt:
        return Attempt(
            record=replace(record, message=shortened(self._shown(record.message))),
            outcome=badge(record.outcome),
            started=when(moment(record.started_ms)),
            finished=when(moment(record.finished_ms)),
            waited=waited or NOTHING,
            took=_span(record.started_ms, record.finished_ms) or NOTHING,
            traceback=frames(shortened(self._shown(record.traceback))),
            logs=[self._line(line) for line in record.logs],
            is_last=is_last,
        )

    def _line(self, line: LogLine) -> Line:
        at_ms, level, logger, text = line
        return Line(when(moment(at_ms)), level, logger, self._shown(text))

    @cached_property
    def _waits(self) -> list[str]:
        """How long each ended run had to wait: since it was ready, or since the run
        before it ended.
        """
        found, ready = [], self._first_ready_ms
        for record in self.record.attempts:
            found.append(_span(ready, record.started_ms))
            ready = record.finished_ms
        return found

    @property
    def _first_ready_ms(self) -> int:
        record = self.record
        first = record.attempts[0].started_ms if record.attempts else 0
        # Who had it run again later made that the time at which it is due.
        if first and record.due_ms > first:
            return record.enqueued_ms
        return max(record.enqueued_ms, record.due_ms)

    @property
    def _ready_ms(self) -> int:
        """Since when it waited for its newest run."""
        record = self.record
        if record.ready_ms:
            return record.ready_ms
        # Of one that has ended nothing says it.
        earlier = [run.finished_ms for run in record.attempts if run.run != record.run]
        return max(record.enqueued_ms, record.due_ms, *earlier[-1:])

    @property
    def _due_ms(self) -> int:
        if self.record.status is JobStatus.SCHEDULED:
            return self._around.due_ms or self.record.due_ms
        return 0

    # -- what it carries ---------------------------------------------------------------

    @cached_property
    def arguments(self) -> list[Argument]:
        """The arguments; model instances as references, nothing is fetched."""
        if self._body is None:
            raw = unreadable(self.record.body)
            return [Argument(_("unreadable"), shortened(raw))]
        body = redacted(self._body)
        placed = [
            self._argument(name or str(place), value)
            for place, (name, value) in enumerate(
                zip(names_of(body), body.args, strict=False), start=1
            )
        ]
        return placed + [
            self._argument(name, value) for name, value in body.kwargs.items()
        ]

    def _argument(self, name: str, value: Any) -> Argument:
        try:
            restored = snapshot_codec.restore(value)
            text = pretty(restored)
        except UNREADABLE:
            return Argument(name, decoded(value))
        return Argument(name, text, tuple(self._links.references(restored)))

    @property
    def options(self) -> str | None:
        """What this call has of its own; None for nothing."""
        if self._body is None or not self._body.options:
            return None
        return pretty(self._body.options)

    @property
    def result(self) -> str | None:
        """What it returned; None when nothing is stored."""
        return self._decoded(self.record.result)

    @property
    def meta(self) -> str | None:
        """What the job noted; None when it noted nothing."""
        text = self.record.meta
        return None if text in (None, "{}") else self._decoded(text)

    @cached_property
    def progress(self) -> Progress | None:
        """How far the job said it is."""
        try:
            return Progress(**json.loads(self.record.progress or "null"))
        except (TypeError, ValueError):
            return None

    @property
    def percent(self) -> int | None:
        """The progress of 100; None without a total."""
        fraction = self.progress.fraction if self.progress else None
        return None if fraction is None else int(100 * fraction)

    @property
    def error(self) -> str | None:
        """Why it failed, in a line or a few."""
        text = self.row.error
        if not text or text == self.record.status:
            # That it was cancelled is said already.
            return None
        return shortened(self._shown(text))

    # -- what it asks of others ------------------------------------------------------

    @cached_property
    def _around(self) -> Surroundings:
        try:
            return ask(_surroundings(self.record, self._body))
        except (UnknownQueue, ServerUnavailable):
            # A queue that left the settings; or Redis, which had answered a moment ago.
            return Surroundings()

    @cached_property
    def _policy(self) -> Policy | None:
        """What holds for it in this build; None where that does not know it."""
        if self._body is None:
            return None
        try:
            definition = registry.resolve(self._body.function)
            return definition.policy(self.row.queue, self._body.options)
        except (RedisJobsError, TypeError, ValueError):
            return None

    @cached_property
    def _body(self) -> Body | None:
        """What it calls, with everything in it; None when nobody can read it."""
        try:
            return parse_body(self.record.body)
        except PayloadMalformed:
            return None

    def _shown(self, text: str) -> str:
        """A text of an attempt as people may see it: it may be older than REDACT."""
        return text if self._body is None else discreet(text, self.record.body)

    def _decoded(self, text: str | None) -> str | None:
        """Stored JSON text as Python, as people may see it; None stays None."""
        if text is None:
            return None
        try:
            return decoded(redacted_value(self.row.function, json.loads(text)))
        except ValueError:
            return shortened(unreadable(text))


def decoded(value: Any) -> str:
    """A stored value as Python; as JSON where this project cannot read it."""
    try:
        return pretty(snapshot_codec.restore(value))
    except UNREADABLE:
        return shortened(json.dumps(value, indent=1, ensure_ascii=False))


def badge_text(status: JobStatus) -> str:
    """A status as the title of a step."""
    text = str(Job.Status(status.value).label)
    return text[:1].upper() + text[1:]


def _surroundings(record: JobRecord, body: Body | None) -> Conversation[Surroundings]:
    keys = conf.keys_for(record.queue)
    options = body.options if body else {}
    # Who has had it run again may have had more than one end.
    runs = {one.run for one in record.attempts}
    if record.status in ENDED:
        runs.add(record.run)
    children = [
        f"{record.id}-{letter}{run}"
        for run in sorted(runs, reverse=True)[:RUNS_SHOWN]
        for option, letter in (("on_success", "s"), ("on_failure", "f"))
        if option in options
    ]
    match = CALLBACK.fullmatch(record.id)
    asked: list[Conversation[Any]] = [
        lookup.due_next(keys, [record]),
        lookup.jobs(keys, [match[1]] if match else [], brief=True),
        lookup.jobs(keys, children, brief=True),
    ]
    (later,), parents, callbacks = yield from together(asked)
    return Surroundings(later.due_ms, next(iter(parents), None), callbacks)


def _span(start_ms: int, end_ms: int) -> str:
    """How long that was; "" where one of them is unknown."""
    if not start_ms or not end_ms:
        return ""
    return duration(max(0, end_ms - start_ms) / 1000)


def _since(start: datetime | None) -> str:
    if start is None:
        return NOTHING
    now = (
        timezone.now()
        if timezone.is_aware(start)
        else timezone.make_naive(timezone.now())
    )
    return duration(max(now - start, timedelta()).total_seconds())


def _run_note(waited: str, ran: str) -> str:
    if not waited:
        return _("ran %s") % ran if ran else ""
    return _("waited %(waited)s, ran %(ran)s") % {"waited": waited, "ran": ran}
