"""One job as its page shows it: decoded as far as possible, never an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_redisjobs import conf
from django_redisjobs.admin.formats import (
    NOTHING,
    badge,
    between,
    pretty,
    shortened,
    when,
)
from django_redisjobs.admin.sources import moment
from django_redisjobs.context import Progress
from django_redisjobs.core.payload import Body, parse_body
from django_redisjobs.core.records import AttemptRecord
from django_redisjobs.exceptions import PayloadMalformed, RedisJobsError
from django_redisjobs.models import Job
from django_redisjobs.redaction import (
    HIDDEN,
    redacted,
    redacted_text,
    redacted_value,
)
from django_redisjobs.serialization import snapshot_codec

# What a value that names a class of this project may raise while it is decoded.
UNREADABLE = (RedisJobsError, LookupError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True, slots=True)
class Argument:
    """A parameter, by name or by place, and its value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run that ended."""

    record: AttemptRecord
    outcome: SafeString
    started: SafeString | str
    took: str
    traceback: str
    is_last: bool


class JobPage:
    """What the template of one job shows."""

    def __init__(self, row: Job) -> None:
        self.row = row
        self.record = row.record

    @property
    def state(self) -> SafeString:
        """The status as a badge."""
        return badge(self.row.status)

    def facts(self) -> Iterator[tuple[str, Any]]:
        """Names and values of what is short."""
        row = self.row
        yield _("Queue"), row.queue
        yield _("Priority"), row.priority
        yield _("Enqueued"), when(row.enqueued_at)
        if row.due_at:
            yield _("Due"), when(row.due_at)
        if row.expires_at:
            yield _("Expires"), when(row.expires_at)
        yield _("Started"), when(row.started_at)
        yield _("Finished"), when(row.finished_at)
        yield _("Took"), between(row.started_at, row.finished_at)
        yield _("Runs"), row.run
        yield _("Crashes"), row.crashes
        yield _("Worker"), row.worker or NOTHING

    @cached_property
    def arguments(self) -> list[Argument]:
        """The arguments; model instances as references, nothing is fetched."""
        if self._body is None:
            # Where REDACT names something, who knows what stands in there.
            raw = HIDDEN if conf.get_settings().redact else self.record.body
            return [Argument(_("unreadable"), shortened(raw))]
        body = redacted(self._body)
        placed = [
            Argument(str(place), decoded(value))
            for place, value in enumerate(body.args, start=1)
        ]
        named = [Argument(name, decoded(value)) for name, value in body.kwargs.items()]
        return placed + named

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
        return shortened(self._shown(self.row.error)) if self.row.error else None

    @cached_property
    def attempts(self) -> list[Attempt]:
        """The runs that ended, the newest first."""
        records = list(reversed(self.record.attempts))
        return [
            Attempt(
                record=replace(record, message=self._shown(record.message)),
                outcome=badge(record.outcome),
                started=when(moment(record.started_ms)),
                took=between(moment(record.started_ms), moment(record.finished_ms)),
                traceback=shortened(self._shown(record.traceback)),
                is_last=place == 0,
            )
            for place, record in enumerate(records)
        ]

    @cached_property
    def _body(self) -> Body | None:
        """What it calls, with everything in it; None when nobody can read it."""
        try:
            return parse_body(self.record.body)
        except PayloadMalformed:
            return None

    def _shown(self, text: str) -> str:
        """A text of an attempt as people may see it: it may be older than REDACT."""
        return text if self._body is None else redacted_text(self._body, text)

    def _decoded(self, text: str | None) -> str | None:
        """Stored JSON text as Python, as people may see it; None stays None."""
        if text is None:
            return None
        try:
            return decoded(redacted_value(self.row.function, json.loads(text)))
        except ValueError:
            return HIDDEN if conf.get_settings().redact else shortened(text)


def decoded(value: Any) -> str:
    """A stored value as Python; as JSON where this project cannot read it."""
    try:
        return pretty(snapshot_codec.restore(value))
    except UNREADABLE:
        return shortened(json.dumps(value, indent=1, ensure_ascii=False))
