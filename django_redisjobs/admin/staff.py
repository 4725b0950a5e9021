"""Workers as their pages show them: each worker with its processes, and who was lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_redisjobs import conf
from django_redisjobs.admin.formats import (
    NOTHING,
    duration,
    number_text,
    size,
    when,
)
from django_redisjobs.admin.links import Links
from django_redisjobs.admin.sources import moment
from django_redisjobs.core.listing import as_number
from django_redisjobs.core.records import JobRecord, LostWorker, WorkerRecord
from django_redisjobs.models import Job, Worker
from django_redisjobs.monitoring.staff import Colleague, Staff
from django_redisjobs.queries import function_of

LOST_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Task:
    """A job that a process runs."""

    job: SafeString | str
    function: str
    queue: str
    since: SafeString | str
    length: str
    number: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker process that died or fell silent."""

    record: LostWorker
    at: SafeString | str
    lived: str
    held: str


class Process:
    """One worker process, as Redis knows it at ``now_ms``."""

    def __init__(
        self,
        record: WorkerRecord,
        jobs: Mapping[str, JobRecord],
        now_ms: int,
        links: Links,
    ) -> None:
        self.record = record
        self._jobs = jobs
        self._now_ms = now_ms
        self._links = links

    @property
    def id(self) -> SafeString | str:
        return self._links.worker(self.record.id)

    @property
    def name(self) -> str:
        """The worker that it is a process of."""
        return self.record.name

    @property
    def pid(self) -> str:
        """A name and no quantity: no language parts its digits."""
        return str(self.record.pid or NOTHING)

    @property
    def is_alive(self) -> bool:
        return self.record.is_alive(self._now_ms)

    @property
    def heartbeat(self) -> str:
        """How long ago it was last heard of: each beat gives it a whole lease."""
        beat_ms = self.record.lease_ends_ms - conf.get_settings().lease_ms
        return _ago(beat_ms, self._now_ms)

    @property
    def memory(self) -> str:
        """What it held in RAM at its last beat."""
        held = as_number(self.record.info.get("memory"))
        return size(held) if held else NOTHING

    @property
    def slots(self) -> str:
        """How many jobs it may run at once."""
        info = self.record.info
        threads = as_number(info.get("threads"))
        coroutines = as_number(info.get("async_concurrency"))
        if not threads:
            return NOTHING
        text = ngettext("%d thread", "%d threads", threads) % threads
        if not coroutines:
            return text
        return _("%(threads)s, %(coroutines)s coroutines") % {
            "threads": text,
            "coroutines": coroutines,
        }

    @cached_property
    def tasks(self) -> list[Task]:
        """What it runs now, as far as it was looked at."""
        return [
            self._task(place, self._jobs[job_id])
            for place, job_id in enumerate(self.record.held, start=1)
            if job_id in self._jobs
        ]

    @property
    def more(self) -> int:
        """Jobs that it holds besides."""
        return len(self.record.held) - len(self.tasks)

    def _task(self, place: int, record: JobRecord) -> Task:
        return Task(
            job=self._links.job(record.id, f"…{record.id[-8:]}"),
            function=function_of(record) if self._links.is_open(Job) else "",
            queue=record.queue,
            since=when(moment(record.started_ms)),
            length=_span(record.started_ms, self._now_ms),
            number=str(place),
        )

    def facts(self) -> Iterator[tuple[str, Any]]:
        """Names and values of what is short."""
        record = self.record
        yield _("Worker"), self.name
        yield _("Host"), record.info.get("host") or NOTHING
        yield _("Process"), self.pid
        yield _("Queues"), " › ".join(record.queues) or NOTHING
        yield _("Started"), when(moment(record.started_ms))
        yield _("Heard of"), self.heartbeat
        yield _("Memory"), self.memory
        yield _("Runs at once"), self.slots
        yield _("Version"), record.version or NOTHING


class WorkerView:
    """One worker, as people start it: the processes of one name, at ``now_ms``."""

    def __init__(self, name: str, records: Sequence[WorkerRecord], now_ms: int) -> None:
        self.name = name
        self.records = records
        self._now_ms = now_ms
        self._alive = [one for one in records if one.is_alive(now_ms)]

    @property
    def host(self) -> str:
        return self.records[0].info.get("host", "")

    @property
    def version(self) -> str:
        return self.records[0].version

    @property
    def queues(self) -> list[str]:
        return self.records[0].queues

    @property
    def started(self) -> SafeString | str:
        return when(moment(self.records[0].worker_started_ms))

    @property
    def held(self) -> int:
        """Jobs that all of them hold."""
        return sum(len(one.held) for one in self.records)

    @property
    def is_alive(self) -> bool:
        """Whether any of them is."""
        return bool(self._alive)

    @property
    def last_seen(self) -> str:
        """For how long all of them are silent; "" while one is alive."""
        if self._alive:
            return ""
        silent_ms = self._now_ms - max(one.lease_ends_ms for one in self.records)
        return _("for %s") % duration(silent_ms / 1000)

    @property
    def spokesman(self) -> str:
        """The id of a process that hears what is asked of all."""
        return (self._alive or self.records)[0].id


class StaffPage:
    """What the template of all workers shows."""

    def __init__(self, staff: Staff, links: Links) -> None:
        self._staff = replace(
            staff,
            workers=links.visible(Worker, staff.workers),
            jobs=_visible_jobs(staff.jobs, links),
            lost=links.visible(Worker, staff.lost),
        )
        self._links = links

    def workers(self) -> list[tuple[WorkerView, list[Process]]]:
        """The workers, by name, each with its processes."""
        staff = self._staff
        found: dict[str, list[WorkerRecord]] = {}
        for record in staff.workers:
            found.setdefault(record.name, []).append(record)
        return [
            (
                WorkerView(name, records, staff.now_ms),
                [
                    Process(record, staff.jobs, staff.now_ms, self._links)
                    for record in records
                ],
            )
            for name, records in sorted(found.items())
        ]

    @property
    def summary(self) -> str:
        """How many there are, in words."""
        workers, now_ms = self._staff.workers, self._staff.now_ms
        alive = sum(one.is_alive(now_ms) for one in workers)
        running = sum(len(one.held) for one in workers)
        processes = ngettext(
            "%(number)s process alive", "%(number)s processes alive", alive
        ) % {"number": number_text(alive)}
        jobs = ngettext("%(number)s job runs", "%(number)s jobs run", running) % {
            "number": number_text(running)
        }
        return f"{processes}, {jobs}."

    def lost(self) -> list[Lost]:
        """Those that died or fell silent within a week."""
        return [
            Lost(
                record,
                when(moment(record.at_ms)),
                _span(as_number(record.started_ms), record.at_ms),
                number_text(record.held),
            )
            for record in self._staff.lost[:LOST_SHOWN]
        ]

    @property
    def asked_at(self) -> SafeString | str:
        return when(moment(self._staff.now_ms))


class WorkerPage(Process):
    """What the template of one process shows."""

    def __init__(self, colleague: Colleague, links: Links) -> None:
        jobs = _visible_jobs(colleague.jobs, links)
        super().__init__(colleague.record, jobs, colleague.now_ms, links)
        self.stacks = colleague.stacks

    @property
    def stacks_at(self) -> SafeString | str:
        """When the process wrote its stacks."""
        return when(moment(self.stacks.at_ms)) if self.stacks else NOTHING


def _visible_jobs(jobs: Mapping[str, JobRecord], links: Links) -> dict[str, JobRecord]:
    return {record.id: record for record in links.visible(Job, jobs.values())}


def _span(start_ms: int, end_ms: int) -> str:
    return duration(max(0, end_ms - start_ms) / 1000) if start_ms else NOTHING


def _ago(then_ms: int, now_ms: int) -> str:
    seconds = (now_ms - then_ms) / 1000
    return _("%s ago") % duration(seconds) if seconds >= 1 else _("just now")
