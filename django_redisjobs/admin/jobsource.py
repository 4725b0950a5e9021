"""Where the rows of Job come from: whole where an index has their order, else a part.

What one page asks of jobs travels together. First a *census*: which queues there are,
how many ids they have, what runs. Then, in two round trips for all of it, the ids of a
*window* or of a *sample* and their records. Nothing here grows with the number of jobs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.utils import timezone

from django_redisjobs import conf
from django_redisjobs.admin.sources import Found, Source, Wanted, job_row, moment
from django_redisjobs.calls import ask, places
from django_redisjobs.core import inspection, listing, lookup, staff
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.listing import ALWAYS, Place, Span, Waiting
from django_redisjobs.core.records import ENDED, JobStatus
from django_redisjobs.core.scripts import Conversation, together
from django_redisjobs.models import Job

LOOKED_AT: Final = 1_000
"""Jobs that a query looks at where no index answers it, the newest."""
LONGEST: Final = 16_384
"""Bytes of a record that is looked at: arguments may be long, and jobs many."""
DEEPEST: Final = 20_000
"""Jobs of several queues that can be paged through in one order."""
HOURS_OF_FUNCTIONS: Final = 2
"""Of what ended so lately are the functions that a page offers."""

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Scope:
    """The jobs of one queue in one status. ``total`` counts ids; not all need be jobs
    of it: see ``is_exact``.
    """

    keys: GroupKeys
    queue: str
    status: JobStatus
    total: int
    waiting: Waiting | None = None
    ids: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """The sorted set that these are in."""
        return Place(self.keys, self.queue, self.status)

    @property
    def is_exact(self) -> bool:
        """Whether pages of ids are about pages of jobs."""
        dead = self.waiting.tombstones if self.waiting else 0
        return not dead or (self.total > LOOKED_AT and dead < self.total // 2)

    @property
    def jobs(self) -> int:
        """How many jobs those ids are of."""
        return max(0, self.total - (self.waiting.tombstones if self.waiting else 0))

    def window(self, low: int, high: int) -> Conversation[list[str]]:
        """Ids of jobs that wait or run, in the order in which they will or do."""
        if self.waiting is None:
            return list(self.ids[low:high])
        return (
            yield from listing.pending_ids(
                self.keys, self.queue, self.waiting, low, high - low
            )
        )

    def newest(self, limit: int, span: Span) -> Conversation[list[str]]:
        """Ids of the newest; pending jobs are stored oldest first."""
        if self.waiting is not None or self.status is JobStatus.RUNNING:
            return (yield from self.window(max(0, self.total - limit), self.total))
        placed = yield from listing.merged_ids(
            [self.place], 0, limit, span if self.status in ENDED else ALWAYS
        )
        return [job_id for _, job_id in placed]


@dataclass(slots=True)
class Census:
    """How many jobs are where. ``spans``: how many ended in each span that was asked
    for; ``edges``: when the first and the last of a place ended.
    """

    scopes: list[Scope]
    functions: list[str]
    spans: dict[Span, Mapping[Place, int]] = field(default_factory=dict)
    edges: Mapping[Place, tuple[int, int]] = field(default_factory=dict)


class JobReading(Source):
    """What was read of jobs so far: several queries of one page share it.

    ``broad``: what no index answers is answered from one sample of all jobs, so that
    several such questions cost no more than one.
    """

    def __init__(self, *, broad: bool = False) -> None:
        self.began = timezone.now()
        self._broad = broad
        self._census: Census | None = None
        self._windows: dict[Any, list[Job]] = {}
        self._samples: dict[Any, list[Job]] = {}

    # -- answers --------------------------------------------------------------------

    def prepare(self, wanted: Wanted, spans: Iterable[Span] = ()) -> None:
        """Read all that a page with this list will ask for, in one go. ``spans``: in
        which jobs that ended will be counted, too.
        """
        ask(self._prepare(wanted, spans, sample=self._broad))

    def read(self, wanted: Wanted) -> Found:
        """The wanted rows: a window of all, or all of those that are looked at."""
        ask(self._prepare(wanted))
        if "pk" in wanted.fixed:
            return Found(rows=self._samples[self._sample_key(wanted)])
        scopes = self._chosen(wanted)
        if self._is_listed(wanted, scopes):
            high = _high(wanted, self._reach(wanted, scopes))
            rows = self._windows[_window_key(wanted, high)]
            cut = self._reach(wanted, scopes) < self._total(wanted, scopes)
            return Found(rows=rows, window=True, cut=cut)
        rows = self._samples[self._sample_key(wanted)]
        return Found(rows=rows, cut=self._is_cut(wanted))

    def count(self, wanted: Wanted) -> int | None:
        """As many as ``read`` would reach."""
        if not _is_exact(wanted):
            return None
        ask(self._counted(wanted))
        scopes = self._chosen(wanted)
        if self._is_listed(wanted, scopes):
            return self._reach(wanted, scopes)
        if wanted.span != ALWAYS or not all(scope.is_exact for scope in scopes):
            return None
        return min(self._total(wanted, scopes), LOOKED_AT)

    def total(self, wanted: Wanted) -> int | None:
        """How many there are, however many of them a list would reach."""
        if not _is_exact(wanted):
            return None
        ask(self._counted(wanted))
        scopes = self._chosen(wanted)
        if wanted.span != ALWAYS and not _are_ended(scopes):
            return None
        if wanted.span == ALWAYS:
            return sum(scope.jobs for scope in scopes)
        return self._total(wanted, scopes)

    def edges(self, wanted: Wanted) -> tuple[datetime, datetime] | None:
        """When the first and the last of them ended, where an index knows."""
        if not _is_exact(wanted):
            return None
        ask(self._counted(wanted))
        scopes = self._chosen(wanted)
        if not (scopes and _are_ended(scopes)):
            return None
        assert self._census is not None
        edges = self._census.edges
        known = [edges[scope.place] for scope in scopes if scope.place in edges]
        if not known:
            return None
        span = wanted.span
        first = max(span.since_ms or 0, min(first for first, _ in known))
        last = max(last for _, last in known)
        last = min(last, (span.until_ms or last + 1) - 1)
        since, until = moment(first), moment(last)
        return (since, until) if first <= last and since and until else None

    @property
    def is_sample_cut(self) -> bool:
        """Whether a sample of all jobs was read, and they are more."""
        return None in self._samples and self._is_cut(Wanted(fixed={}))

    def is_without_times(self, wanted: Wanted) -> bool:
        """Whether to tell the times of these jobs one would have to read them all."""
        if not _is_exact(wanted):
            # Where they are was not asked: they are read one by one, or none is wanted.
            return False
        scopes = self._chosen(wanted)
        return self._is_listed(wanted, scopes) and not _are_ended(scopes)

    def functions(self) -> list[str]:
        """Names of functions whose jobs ended lately, or that were read, sorted."""
        ask(self._counted(Wanted(fixed={})))
        assert self._census is not None
        parts = [*self._windows.values(), *self._samples.values()]
        read = {row.function for rows in parts for row in rows}
        return sorted({*self._census.functions, *read} - {""})

    # -- plans ----------------------------------------------------------------------

    def _chosen(self, wanted: Wanted) -> list[Scope]:
        """Where the wanted jobs are."""
        assert self._census is not None
        fixed = wanted.fixed
        return [
            scope
            for scope in self._census.scopes
            if scope.queue in fixed.get("queue", {scope.queue})
            if scope.status in fixed.get("status", {scope.status})
        ]

    def _is_listed(self, wanted: Wanted, scopes: Sequence[Scope]) -> bool:
        """Whether an index has all of them, in the order that is asked for."""
        if not (_is_exact(wanted) and wanted.as_stored and scopes):
            return False
        if _are_ended(scopes):
            return True
        is_one = len({scope.status for scope in scopes}) == 1
        return (
            is_one and wanted.span == ALWAYS and all(scope.is_exact for scope in scopes)
        )

    def _total(self, wanted: Wanted, scopes: Sequence[Scope]) -> int:
        if wanted.span == ALWAYS:
            return sum(scope.total for scope in scopes)
        assert self._census is not None
        within = self._census.spans[wanted.span]
        return sum(within.get(scope.place, 0) for scope in scopes)

    def _reach(self, wanted: Wanted, scopes: Sequence[Scope]) -> int:
        """How many of them can be paged through."""
        total = self._total(wanted, scopes)
        return min(total, DEEPEST) if len(scopes) > 1 else total

    def _is_cut(self, wanted: Wanted) -> bool:
        """Whether more would have to be looked at to be sure."""
        return sum(scope.total for scope in self._sampled(wanted)) > LOOKED_AT

    def _sampled(self, wanted: Wanted) -> list[Scope]:
        return self._chosen(Wanted(fixed={}) if self._broad else wanted)

    def _sample_key(self, wanted: Wanted) -> Any:
        if "pk" in wanted.fixed:
            return wanted.fixed["pk"]
        if self._broad:
            return None
        chosen = {name: wanted.fixed.get(name) for name in ("queue", "status")}
        return wanted.span, *chosen.values()

    # -- conversations ----------------------------------------------------------------

    def _prepare(
        self, wanted: Wanted, spans: Iterable[Span] = (), *, sample: bool = False
    ) -> Conversation[None]:
        """Ask for what is not there yet: in five round trips at most."""
        if "pk" in wanted.fixed:
            key = self._sample_key(wanted)
            if key not in self._samples:
                self._samples[key] = yield from _by_id(key)
            return
        yield from self._counted(wanted, spans)
        scopes = self._chosen(wanted)
        listed = self._is_listed(wanted, scopes)
        asked: list[Conversation[None]] = []
        if listed:
            high = _high(wanted, self._reach(wanted, scopes))
            if _window_key(wanted, high) not in self._windows:
                asked.append(self._read_window(wanted, scopes, high))
        key = self._sample_key(wanted)
        if (sample or not listed) and key not in self._samples:
            span = ALWAYS if self._broad else wanted.span
            asked.append(self._read_sample(key, self._sampled(wanted), span))
        if asked:
            yield from together(asked)

    def _counted(
        self, wanted: Wanted, spans: Iterable[Span] = ()
    ) -> Conversation[None]:
        if self._census is None:
            self._census = yield from _census({ALWAYS, wanted.span, *spans})
        elif wanted.span not in self._census.spans:
            places = [scope.place for scope in self._census.scopes]
            self._census.spans |= yield from _within(places, {wanted.span})

    def _read_window(
        self, wanted: Wanted, scopes: Sequence[Scope], high: int
    ) -> Conversation[None]:
        low = min(wanted.low, high)
        if all(scope.status in listing.INDEXED for scope in scopes):
            by_place = {scope.place: scope for scope in scopes}
            placed = yield from listing.merged_ids(
                list(by_place), low, high, wanted.span
            )
            found = [(by_place[place], job_id) for place, job_id in placed]
        else:
            found = yield from _one_behind_the_other(scopes, low, high)
        self._windows[_window_key(wanted, high)] = yield from _rows_of(found)

    def _read_sample(
        self, key: Any, scopes: Sequence[Scope], span: Span
    ) -> Conversation[None]:
        shares = _shares([scope.total for scope in scopes])
        parts = yield from together(
            [
                scope.newest(share, span)
                for scope, share in zip(scopes, shares, strict=True)
            ]
        )
        found = [
            (scope, job_id)
            for scope, ids in zip(scopes, parts, strict=True)
            for job_id in ids
        ]
        rows = yield from _rows_of(found, LONGEST)
        if len({scope.status for scope in scopes}) > 1:
            rows.sort(key=_newest_first, reverse=True)
        self._samples[key] = rows


def _is_exact(wanted: Wanted) -> bool:
    """Whether nothing is asked for that no index knows."""
    return wanted.exact and not wanted.fixed.keys() - {"queue", "status"}


def _newest_first(row: Job) -> tuple[datetime, str]:
    return row.changed_at, row.pk


def _are_ended(scopes: Iterable[Scope]) -> bool:
    return all(scope.status in ENDED for scope in scopes)


def _high(wanted: Wanted, total: int) -> int:
    high = total if wanted.high is None else min(wanted.high, total)
    return max(wanted.low, min(high, wanted.low + LOOKED_AT))


def _window_key(wanted: Wanted, high: int) -> Any:
    chosen = {name: wanted.fixed.get(name) for name in ("queue", "status")}
    return wanted.low, high, wanted.span, *chosen.values()


def _census(spans: Iterable[Span]) -> Conversation[Census]:
    """In three round trips, however many queues and workers there are."""
    groups = list(conf.groups())
    asked: list[Conversation[Any]] = [
        _sized(spans),
        together([staff.running(keys) for keys in groups]),
        together([_functions(keys) for keys in groups]),
    ]
    (sized, within, ends), running, functions = yield from together(asked)
    scopes = [
        scope
        for (keys, found), pairs in zip(sized, running, strict=True)
        for scope in _scopes(keys, found, pairs)
        if scope.total
    ]
    names = dict.fromkeys(name for part in functions for name in part)
    return Census(scopes, list(names), within, ends)


def _sized(spans: Iterable[Span]) -> Conversation[tuple[Any, Any, Any]]:
    groups = yield from places()
    ended = [
        Place(keys, queue, status)
        for keys, queues in groups
        for queue in queues
        for status in JobStatus
        if status in ENDED
    ]
    asked: list[Conversation[Any]] = [
        together([listing.sizes(*group) for group in groups]),
        _within(ended, spans),
        listing.edges(ended),
    ]
    found, within, ends = yield from together(asked)
    keys = [keys for keys, _ in groups]
    return list(zip(keys, found, strict=True)), within, ends


def _within(
    places: Sequence[Place], spans: Iterable[Span]
) -> Conversation[dict[Span, Mapping[Place, int]]]:
    """How many jobs of each place ended in each span, in one round trip."""
    ended = [place for place in places if place.status in ENDED]
    bounded = [span for span in spans if span != ALWAYS]
    counted = yield from together(
        [listing.sizes_within(ended, span) for span in bounded]
    )
    found: dict[Span, Mapping[Place, int]] = {ALWAYS: {}}
    for span, numbers in zip(bounded, counted, strict=True):
        found[span] = dict(zip(ended, numbers, strict=True))
    return found


def _scopes(
    keys: GroupKeys, found: Sequence[listing.Sizes], pairs: Pairs
) -> Iterable[Scope]:
    for sizes in found:
        held = tuple(job_id for job_id, queue in pairs if queue == sizes.queue)
        for status in JobStatus:
            if status is JobStatus.PENDING:
                waiting = sizes.waiting
                yield Scope(keys, sizes.queue, status, waiting.total, waiting)
            elif status is JobStatus.RUNNING:
                yield Scope(keys, sizes.queue, status, len(held), ids=held)
            else:
                yield Scope(keys, sizes.queue, status, sizes.indexed[status])


def _functions(keys: GroupKeys) -> Conversation[list[str]]:
    # This process's clock: an hour more or less offers a name more or less.
    hour = int(time.time() // 3600)
    hours = range(hour - HOURS_OF_FUNCTIONS + 1, hour + 1)
    counted = yield from inspection.statistics(keys, "hour", hours)
    fields = [name.rpartition(":")[0] for counters in counted for name in counters]
    return [name.removeprefix("f:") for name in fields if name.startswith("f:")]


def _one_behind_the_other(
    scopes: Sequence[Scope], low: int, high: int
) -> Conversation[list[tuple[Scope, str]]]:
    """Of the first queue all, then of the next: as workers take them."""
    parts, asked, start = [], [], 0
    for scope in scopes:
        first, last = max(0, low - start), min(scope.total, high - start)
        if first < last:
            parts.append(scope)
            asked.append(scope.window(first, last))
        start += scope.total
    found = yield from together(asked)
    return [
        (scope, job_id)
        for scope, ids in zip(parts, found, strict=True)
        for job_id in ids
    ]


def _rows_of(
    found: Sequence[tuple[Scope, str]], longest: int | None = None
) -> Conversation[list[Job]]:
    """Rows in the order of the ids, in one round trip. ``longest``: bytes of each."""
    by_scope: dict[tuple[GroupKeys, str, JobStatus], list[str]] = {}
    for scope, job_id in found:
        place = (scope.keys, scope.queue, scope.status)
        by_scope.setdefault(place, []).append(job_id)
    parts = yield from together(
        [
            lookup.settled(keys, ids, queue, status, brief=True, longest=longest)
            for (keys, queue, status), ids in by_scope.items()
        ]
    )
    records = {record.id: record for part in parts for record in part}
    # A job that moves while it is read may be seen twice; it is one row all the same.
    order = dict.fromkeys(job_id for _, job_id in found)
    return [job_row(records[job_id]) for job_id in order if job_id in records]


def _shares(totals: Sequence[int]) -> list[int]:
    """How many of each to look at: small ones whole, the rest in equal parts."""
    shares = [0] * len(totals)
    left, waiting = LOOKED_AT, sorted(range(len(totals)), key=totals.__getitem__)
    while waiting:
        index = waiting.pop(0)
        shares[index] = min(totals[index], left // (len(waiting) + 1))
        left -= shares[index]
    return shares


def _by_id(ids: Iterable[Any]) -> Conversation[list[Job]]:
    names = [str(name) for name in ids][:LOOKED_AT]
    groups = conf.groups()
    found = yield from together([lookup.jobs(keys, names) for keys in groups])
    rows = {}
    for keys, part in zip(groups, found, strict=True):
        for record in part:
            rows[record.id] = job_row(record)
            rows[record.id].keys = keys
    return list(rows.values())
