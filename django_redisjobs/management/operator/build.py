"""``doctor --code``: whether this build of the code could run all that is queued."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from django.core.management.base import CommandError

from django_redisjobs import registry
from django_redisjobs.calls import ask
from django_redisjobs.core.records import JobRecord, JobStatus
from django_redisjobs.management.operator.formats import harmless, number
from django_redisjobs.management.operator.selection import pages
from django_redisjobs.management.operator.showing import function_of
from django_redisjobs.management.operator.terminal import Column, Terminal
from django_redisjobs.queries import jobs
from django_redisjobs.vetting import obstacle

_QUEUED: Final = (JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.PARKED)
_EXAMPLES: Final = 5


@dataclass(slots=True)
class Obstacle:
    """Why jobs of one function cannot run."""

    function: str
    reason: str
    count: int = 0
    queues: set[str] = field(default_factory=set)
    ids: list[str] = field(default_factory=list)

    def add(self, record: JobRecord) -> None:
        self.count += 1
        self.queues.add(record.queue)
        if len(self.ids) < _EXAMPLES:
            self.ids.append(record.id)


def obstacles(records: Iterable[JobRecord]) -> tuple[int, list[Obstacle]]:
    """How many jobs there are, and what keeps some of them from running."""
    found: dict[tuple[str, str], Obstacle] = {}
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            continue
        seen.add(record.id)
        reason = obstacle(record)
        if reason:
            key = function_of(record), reason
            found.setdefault(key, Obstacle(*key)).add(record)
    return len(seen), sorted(found.values(), key=lambda one: -one.count)


def check_code(terminal: Terminal) -> None:
    """Print what could not run. Raises CommandError if there is any."""
    registry.autodiscover()
    total, found = obstacles(
        record
        for scope in ask(jobs.scopes(_QUEUED))
        for _, page in pages(scope, from_end=True)
        for record in page
    )
    stuck = sum(one.count for one in found)
    if terminal.as_json:
        terminal.document(
            {
                "ok": not found,
                "jobs": total,
                "unrunnable": [
                    {
                        "function": one.function or None,
                        "reason": one.reason,
                        "count": one.count,
                        "queues": sorted(one.queues),
                        "ids": one.ids,
                    }
                    for one in found
                ],
            }
        )
    elif found:
        columns = [
            Column("jobs", right=True),
            Column("function"),
            Column("queues"),
            Column("why"),
        ]
        terminal.table(
            columns,
            [
                (
                    number(one.count),
                    one.function or "(unreadable)",
                    ", ".join(sorted(one.queues)),
                    harmless(one.reason),
                )
                for one in found
            ],
        )
    else:
        terminal.line(
            f"All {number(total)} queued jobs can run with this build.",
            terminal.style.SUCCESS,
        )
    if found:
        raise CommandError(
            f"{number(stuck)} of {number(total)} queued jobs cannot run with this build: "
            "a worker would park them until one comes that knows them."
        )
