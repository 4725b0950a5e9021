"""Which jobs are meant: by status, queue, function and time."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from django_redisjobs import registry
from django_redisjobs.calls import ask
from django_redisjobs.core import listing, lookup
from django_redisjobs.core.records import JobRecord, JobStatus
from django_redisjobs.core.scripts import Conversation
from django_redisjobs.exceptions import UnknownJobFunction
from django_redisjobs.management.operator.action import Options
from django_redisjobs.management.operator.formats import read_moment
from django_redisjobs.management.operator.terminal import Terminal
from django_redisjobs.options import epoch_ms
from django_redisjobs.queries import JobQuery, Scope, moment_of

PAGE: Final = 200
"""Records read at once."""


def pages(
    scope: Scope, *, from_end: bool = False
) -> Iterator[tuple[int, list[JobRecord]]]:
    """How many there are and the next of them, whole, until there are no more."""
    offset = 0
    while True:
        page = scope.page(offset, PAGE, brief=False, from_end=from_end)
        total, records = ask(page)
        yield total, records
        # From the end the first may have been pushed out of the page by what came in:
        # one more look tells.
        if total <= (offset if from_end else offset + PAGE):
            return
        offset = min(offset + PAGE, total)


@dataclass(slots=True)
class Found:
    """``looked_at``: how many records were read. ``cut``: there are more."""

    records: list[JobRecord]
    looked_at: int
    cut: bool


def newest(query: JobQuery, limit: int, most: int) -> Found:
    """Up to ``limit`` jobs, having looked at about ``most`` at the most. Pending or
    scheduled ones alone are the first that will run.
    """
    scopes = ask(query.scopes(query.statuses))
    as_run = query.statuses in ((JobStatus.PENDING,), (JobStatus.SCHEDULED,))
    looks = [
        _Look(
            query,
            scope,
            enough=limit if as_run or ask(_is_by_time(scope)) else None,
            from_end=scope.status is JobStatus.PENDING and not as_run,
        )
        for scope in scopes
    ]
    looked_at, cut = _take_turns(looks, most)
    # What came in between two pages moves the others: one may be read twice.
    records = list({one.id: one for look in looks for one in look.found}.values())
    if query.statuses == (JobStatus.SCHEDULED,):
        # Each queue's are in that order already.
        records.sort(key=lambda one: one.due_ms)
    elif not as_run:
        records.sort(key=lambda one: (moment_of(one), one.id), reverse=True)
    return Found(records[:limit], looked_at, cut)


def _take_turns(looks: Sequence[_Look], most: int) -> tuple[int, bool]:
    """A page of each in turn, so that small places leave their share to the others: how
    many records were read, and whether there are more.
    """
    turns = deque(look.pages() for look in looks)
    looked_at, unseen = 0, len(turns)
    # At least one page of each: else a place would be left out for those before it.
    while turns and (unseen > 0 or looked_at < most):
        steps = turns.popleft()
        number, is_through = next(steps)
        looked_at += number
        unseen -= 1
        if not is_through:
            turns.append(steps)
    return looked_at, bool(turns)


def _is_by_time(scope: Scope) -> Conversation[bool]:
    """Whether the newest can be read first. What is due first came in at any time, and
    among what is pending only the plain list is in the order of coming in.
    """
    if scope.status is JobStatus.PENDING:
        there = yield from listing.waiting(scope.keys, scope.queue)
        return there.total == there.listed
    return scope.status not in (JobStatus.SCHEDULED, JobStatus.RUNNING)


@dataclass(slots=True)
class _Look:
    """At the jobs of one place, until ``enough`` are found."""

    query: JobQuery
    scope: Scope
    enough: int | None
    from_end: bool
    found: list[JobRecord] = field(default_factory=list)

    def pages(self) -> Iterator[tuple[int, bool]]:
        """Page by page how many records were read, and whether that was all."""
        end = 0
        for total, page in pages(self.scope, from_end=self.from_end):
            chosen = [record for record in page if self.query.matches(record)]
            self.found += ask(lookup.due_next(self.scope.keys, chosen))
            end += PAGE
            is_enough = self.enough is not None and len(self.found) >= self.enough
            is_past = self.query.is_past(self.scope, page)
            yield len(page), is_enough or end >= total or is_past


def add_filters(parser: ArgumentParser) -> None:
    """The options by which jobs are chosen, but for the status."""
    add = parser.add_argument
    add(
        "--queue",
        action="append",
        default=[],
        metavar="QUEUE",
        help="Only of this queue. May be given several times.",
    )
    add(
        "--function",
        type=_path,
        metavar="PATH",
        help="Only jobs of this function, such as shop.jobs.charge.",
    )
    add(
        "--since",
        type=read_moment,
        metavar="TIME",
        help="Only what ended, started or came in since then: 1h, 7d, or a time.",
    )


def _path(text: str) -> str:
    if not text:
        # From a variable that is not set: it would mean those of all functions.
        raise ArgumentTypeError("it is empty; name a function, or leave it out.")
    return text


def read_selection(options: Options, statuses: Iterable[JobStatus]) -> JobQuery:
    """What the options of ``add_filters`` choose."""
    since = options["since"]
    return JobQuery(
        statuses=tuple(dict.fromkeys(statuses)),
        queues=tuple(options["queue"]),
        function=options["function"] or "",
        since_ms=0 if since is None else epoch_ms(since),
    )


def warn_of_unknown(terminal: Terminal, function: str | None) -> None:
    """Nothing was found: say so if ``function`` may be misspelt.

    Jobs of functions that this build lacks can be chosen all the same.
    """
    if not function:
        return
    try:
        registry.resolve(function)
    except UnknownJobFunction as error:
        terminal.notice(str(error))
