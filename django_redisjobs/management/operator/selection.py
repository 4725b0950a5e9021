"""Which jobs are meant: by status, queue, function and time."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from django_redisjobs import registry
from django_redisjobs.calls import ask
from django_redisjobs.core import inspection
from django_redisjobs.core.records import JobRecord, JobStatus
from django_redisjobs.exceptions import UnknownJobFunction
from django_redisjobs.management.operator.action import Options
from django_redisjobs.management.operator.formats import read_moment
from django_redisjobs.management.operator.terminal import Terminal
from django_redisjobs.options import epoch_ms
from django_redisjobs.queries import JobQuery, Scope, moment_of

PAGE: Final = 200
"""Records read at once."""


def pages(scope: Scope) -> Iterator[tuple[int, list[JobRecord]]]:
    """How many there are and the next of them, whole, until there are no more."""
    offset = 0
    while True:
        total, records = ask(scope.page(offset, PAGE, brief=False))
        yield total, records
        offset += PAGE
        if offset >= total:
            return


@dataclass(slots=True)
class Found:
    """``cut``: there is more that nobody looked at."""

    records: list[JobRecord]
    cut: bool = False


def newest(query: JobQuery, limit: int, most: int) -> Found:
    """Up to ``limit`` jobs, having looked at about ``most`` at the most."""
    scopes = ask(query.scopes(query.statuses))
    found = Found([])
    for scope in scopes:
        share = max(PAGE, most // len(scopes))
        found.cut |= _look_into(scope, query, limit, share, found.records)
    if query.statuses not in ((JobStatus.PENDING,), (JobStatus.SCHEDULED,)):
        found.records.sort(key=lambda one: (moment_of(one), one.id), reverse=True)
    del found.records[limit:]
    return found


def _look_into(
    scope: Scope, query: JobQuery, limit: int, share: int, records: list[JobRecord]
) -> bool:
    looked, matched = 0, 0
    for total, page in pages(scope):
        chosen = [record for record in page if query.matches(record)]
        records += ask(inspection.due_next(scope.keys, chosen))
        matched += len(chosen)
        looked += PAGE
        if matched >= limit or looked >= total or query.is_past(scope, page):
            return False
        if looked >= share:
            return True
    return False


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
        default="",
        metavar="PATH",
        help="Only jobs of this function, such as shop.jobs.charge.",
    )
    add(
        "--since",
        type=read_moment,
        metavar="TIME",
        help="Only what ended, started or came in since then: 1h, 7d, or a time.",
    )


def read_selection(options: Options, statuses: Iterable[JobStatus]) -> JobQuery:
    """What the options of ``add_filters`` choose."""
    since = options["since"]
    return JobQuery(
        statuses=tuple(statuses),
        queues=tuple(options["queue"]),
        function=options["function"],
        since_ms=0 if since is None else epoch_ms(since),
    )


def warn_of_unknown(terminal: Terminal, function: str) -> None:
    """Nothing was found: say so if ``function`` may be misspelt.

    Jobs of functions that this build lacks can be chosen all the same.
    """
    if not function:
        return
    try:
        registry.resolve(function)
    except UnknownJobFunction as error:
        terminal.notice(str(error))
