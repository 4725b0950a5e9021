"""One job as its page shows it: decoded as far as possible, never an error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_redisjobs import conf, registry
from django_redisjobs.admin.formats import (
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
from django_redisjobs.admin.timeline import RUNS_SHOWN, Attempt, Step, Timeline
from django_redisjobs.calls import ask
from django_redisjobs.context import Progress
from django_redisjobs.core import lookup
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.payload import Body, parse_body
from django_redisjobs.core.records import ENDED, JobRecord, JobStatus
from django_redisjobs.core.scripts import Conversation, together
from django_redisjobs.exceptions import (
    PayloadMalformed,
    RedisJobsError,
    ServerUnavailable,
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

# What a value that names a class of this project may raise while it is decoded.
UNREADABLE = (RedisJobsError, LookupError, TypeError, ValueError, AttributeError)
CALLBACK = re.compile(r"(.+)-[sf]\d+")


def reason_of(row: Job) -> str:
    """Why a job failed or is parked, as people may see it; "" where its status says all."""
    text = row.error
    if not text or text == row.record.status:
        return ""
    return discreet(text, row.record.shown_body)


@dataclass(frozen=True, slots=True)
class Argument:
    """A parameter, by name or by place, and its value."""

    name: str
    value: str
    links: Sequence[SafeString] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around the job: when it is due next, the job whose end it was made by, if
    it is still there, and the callbacks of its own ends, the newest first.
    """

    due_ms: int = 0
    parents: Sequence[JobRecord] = ()
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

    def timeline(self) -> Iterator[Step]:
        """What happened to it and what comes next, in order."""
        return self._timeline.steps()

    @property
    def attempts(self) -> list[Attempt]:
        """The runs that ended, the newest first."""
        return self._timeline.attempts

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
            yield _("Waited"), self._timeline.waited
            yield _("Started"), when(row.started_at)
        if row.finished_at:
            yield _("Finished"), when(row.finished_at)
            yield _("Took"), between(row.started_at, row.finished_at)
        elif self.is_running:
            yield _("Runs for"), self._timeline.runs_for
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
            parent = next(iter(self._around.parents), None)
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

    # -- what it carries ---------------------------------------------------------------

    @cached_property
    def arguments(self) -> list[Argument]:
        """The arguments; model instances as references, nothing is fetched."""
        if self._body is None:
            raw = unreadable(self.record.shown_body)
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
        found = Progress.read(self.record.progress or "null")
        return found and replace(found, message=self._shown(found.message))

    @property
    def percent(self) -> int | None:
        """The progress of 100; None without a total."""
        fraction = self.progress.fraction if self.progress else None
        return None if fraction is None else int(100 * fraction)

    @property
    def error(self) -> str | None:
        """Why it failed, in a line or a few."""
        text = reason_of(self.row)
        return shortened(text) if text else None

    # -- what it asks of others ------------------------------------------------------

    @cached_property
    def _around(self) -> Surroundings:
        try:
            found = ask(_surroundings(self.row.keys, self.record, self._body))
        except ServerUnavailable:
            # It had answered a moment ago.
            return Surroundings()
        visible = partial(self._links.visible, Job)
        return replace(
            found,
            parents=visible(found.parents),
            callbacks=visible(found.callbacks),
        )

    @cached_property
    def _timeline(self) -> Timeline:
        return Timeline(self.record, self._due_ms, self._shown)

    @property
    def _due_ms(self) -> int:
        if self.record.status is JobStatus.SCHEDULED:
            return self._around.due_ms or self.record.due_ms
        return 0

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
            return parse_body(self.record.shown_body)
        except PayloadMalformed:
            return None

    def _shown(self, text: str) -> str:
        """A text of an attempt as people may see it: it may be older than REDACT."""
        return text if self._body is None else discreet(text, self.record.shown_body)

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


def _surroundings(
    keys: GroupKeys, record: JobRecord, body: Body | None
) -> Conversation[Surroundings]:
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
    return Surroundings(later.due_ms, parents, callbacks)
