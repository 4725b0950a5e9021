"""``doctor --code``: whether this build of the code could run all that is queued."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.core.management.base import CommandError

from django_redisjobs import conf, registry
from django_redisjobs.calls import ask
from django_redisjobs.core.records import JobRecord, JobStatus
from django_redisjobs.management.operator.discovering import lines
from django_redisjobs.management.operator.formats import counted, number
from django_redisjobs.management.operator.selection import pages
from django_redisjobs.management.operator.strangers import stranded
from django_redisjobs.management.operator.terminal import Column, Terminal
from django_redisjobs.queries import function_of, jobs
from django_redisjobs.vetting import callback_obstacles, obstacle

_QUEUED: Final = (JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.PARKED)
_EXAMPLES: Final = 5


@dataclass(slots=True)
class Obstacle:
    """Why jobs of one function cannot run, or their callbacks cannot."""

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

    @property
    def row(self) -> tuple[str, ...]:
        return (
            number(self.count),
            self.function or "(unreadable)",
            ", ".join(sorted(self.queues)),
            self.reason,
        )

    def document(self) -> dict[str, Any]:
        return {
            "function": self.function or None,
            "reason": self.reason,
            "count": self.count,
            "queues": sorted(self.queues),
            "ids": self.ids,
        }


class Obstacles:
    """What was found of one kind. ``jobs``: of how many."""

    def __init__(self) -> None:
        self.jobs = 0
        self._found: dict[tuple[str, str], Obstacle] = {}

    def add(self, record: JobRecord, reasons: Sequence[str]) -> None:
        for reason in reasons:
            key = function_of(record), reason
            self._found.setdefault(key, Obstacle(*key)).add(record)
        self.jobs += bool(reasons)

    def __iter__(self) -> Iterator[Obstacle]:
        """Those of most jobs first."""
        return iter(sorted(self._found.values(), key=lambda one: -one.count))


@dataclass(slots=True)
class Examination:
    """``stuck``: what keeps jobs from running; ``unheard``: what keeps callbacks from
    it, of jobs that can run.
    """

    total: int = 0
    stuck: Obstacles = field(default_factory=Obstacles)
    unheard: Obstacles = field(default_factory=Obstacles)


def examine(records: Iterable[JobRecord]) -> Examination:
    """Look at each job once, however often it comes."""
    found = Examination()
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            continue
        seen.add(record.id)
        if reason := obstacle(record):
            found.stuck.add(record, [reason])
        else:
            found.unheard.add(record, callback_obstacles(record))
    found.total = len(seen)
    return found


def check_code(terminal: Terminal) -> None:
    """Print what could not run. Raises CommandError if there is any."""
    broken = registry.broken_modules()
    # As in a worker that starts: it imports the callbacks that are named by their path.
    registry.misconfigured()
    found = examine(
        record
        for scope in ask(jobs.scopes(_QUEUED))
        for _, page in pages(scope, from_end=True)
        for record in page
    )
    # Eager, nothing is in Redis, which may not even be there. To look for other groups,
    # too, would be to read the names of all keys.
    lost = [] if conf.get_settings().eager else stranded(set())
    problems = [*_problems(broken, found), *(one.message for one in lost)]
    if terminal.as_json:
        terminal.document(
            {
                "ok": not problems,
                "modules": [
                    {"module": module, "reason": reason}
                    for module, reason in broken.items()
                ],
                "jobs": found.total,
                "unrunnable": [one.document() for one in found.stuck],
                "callbacks": [one.document() for one in found.unheard],
                "stranded": [one.message for one in lost],
            }
        )
    else:
        for line in lines(broken):
            terminal.line(line, terminal.style.ERROR)
        if found.stuck.jobs or found.unheard.jobs:
            _show(terminal, [*found.stuck, *found.unheard])
        elif not problems:
            terminal.line(
                f"This build can run all that is queued: {counted(found.total, 'job')}.",
                terminal.style.SUCCESS,
            )
    if problems:
        raise CommandError(" ".join(problems))


def _show(terminal: Terminal, found: Iterable[Obstacle]) -> None:
    columns = [
        Column("jobs", right=True),
        Column("function"),
        Column("queues"),
        Column("why"),
    ]
    terminal.table(columns, [one.row for one in found])


def _problems(broken: Iterable[str], found: Examination) -> Iterator[str]:
    if modules := ", ".join(broken):
        yield f"No worker starts where these cannot be imported: {modules}."
    total = f"of {counted(found.total, 'queued job')}"
    if stuck := found.stuck.jobs:
        yield (
            f"{number(stuck)} {total} cannot run with this build: a worker would park "
            "them until one comes that knows them."
        )
    if unheard := found.unheard.jobs:
        yield (
            f"{number(unheard)} {total} can run, and their callbacks cannot: these "
            "would be parked when the jobs end."
        )
