"""Which jobs are meant: by status, queue, function and time."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from django_redisjobs import conf
from django_redisjobs.calls import ask
from django_redisjobs.core import inspection
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import ENDED, JobRecord, JobStatus
from django_redisjobs.exceptions import UnknownQueue
from django_redisjobs.management.operator.action import Options
from django_redisjobs.management.operator.formats import read_moment
from django_redisjobs.management.operator.groups import groups_with_queues
from django_redisjobs.management.operator.showing import function_of
from django_redisjobs.options import epoch_ms

PAGE: Final = 200
"""Records read at once."""


@dataclass(frozen=True, slots=True)
class Selection:
    """``since_ms``: ended, started or (else) enqueued no earlier than that; 0 for
    any time. Empty ``queues``: all.
    """

    statuses: tuple[JobStatus, ...]
    queues: tuple[str, ...] = ()
    function: str = ""
    since_ms: int = 0

    def matches(self, record: JobRecord) -> bool:
        if self.since_ms and moment_of(record) < self.since_ms:
            return False
        return not self.function or function_of(record) == self.function

    def scopes(self) -> list[Scope]:
        """The places to look into. Raises UnknownQueue."""
        groups = groups_with_queues()
        known = {queue for _, queues in groups for queue in queues}
        for queue in self.queues:
            if queue not in known:
                # For its message: neither the settings nor Redis have that queue.
                conf.get_queue_settings(queue)
                raise UnknownQueue(f"There is no queue {queue!r}.")
        return [
            Scope(keys, queue, status)
            for keys, queues in groups
            for queue in queues
            if not self.queues or queue in self.queues
            for status in self.statuses
        ]


@dataclass(frozen=True, slots=True)
class Scope:
    """The jobs of one queue in one status."""

    keys: GroupKeys
    queue: str
    status: JobStatus

    def pages(self) -> Iterator[tuple[int, list[JobRecord]]]:
        """How many there are and the next of them: the newest first of what ended,
        else in the order in which they will run.
        """
        offset = 0
        while True:
            total, records = ask(
                inspection.page(self.keys, self.queue, self.status, offset, PAGE)
            )
            yield total, records
            offset += PAGE
            if offset >= total:
                return


@dataclass(slots=True)
class Found:
    """``cut``: there is more that nobody looked at."""

    records: list[JobRecord]
    cut: bool = False


def newest(selection: Selection, limit: int, most: int) -> Found:
    """Up to ``limit`` jobs, having looked at about ``most`` at the most."""
    scopes = selection.scopes()
    found = Found([])
    for scope in scopes:
        share = max(PAGE, most // len(scopes))
        found.cut |= _look_into(scope, selection, limit, share, found.records)
    if selection.statuses not in ((JobStatus.PENDING,), (JobStatus.SCHEDULED,)):
        found.records.sort(key=moment_of, reverse=True)
    del found.records[limit:]
    return found


def _look_into(
    scope: Scope,
    selection: Selection,
    limit: int,
    share: int,
    records: list[JobRecord],
) -> bool:
    looked, matched = 0, 0
    for total, page in scope.pages():
        for record in page:
            if selection.matches(record):
                records.append(record)
                matched += 1
        looked += PAGE
        if matched >= limit or looked >= total or _is_past(scope, selection, page):
            return False
        if looked >= share:
            return True
    return False


def _is_past(scope: Scope, selection: Selection, page: Sequence[JobRecord]) -> bool:
    """Whether what follows ended too long ago: only ends are in the order of time."""
    ordered = scope.status in ENDED and selection.since_ms
    return bool(ordered and page and moment_of(page[-1]) < selection.since_ms)


def all_of(selection: Selection) -> Iterator[tuple[GroupKeys, str]]:
    """The group and id of every job that matches, each once."""
    seen = set()
    for scope in selection.scopes():
        for _, page in scope.pages():
            for record in page:
                if record.id not in seen and selection.matches(record):
                    seen.add(record.id)
                    yield scope.keys, record.id
            if _is_past(scope, selection, page):
                break


def moment_of(record: JobRecord) -> int:
    """When something last happened to it, in milliseconds."""
    if record.status is JobStatus.SCHEDULED:
        return record.enqueued_ms
    return record.finished_ms or record.started_ms or record.enqueued_ms


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


def read_selection(options: Options, statuses: Iterable[JobStatus]) -> Selection:
    """What the options of ``add_filters`` choose."""
    since = options["since"]
    return Selection(
        tuple(statuses),
        tuple(options["queue"]),
        options["function"],
        0 if since is None else epoch_ms(since),
    )
