"""Who works, at what, and who was lost; and what is said to workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from threading import Event
from typing import Any, Final

from django_redisjobs import conf
from django_redisjobs.calls import ask
from django_redisjobs.core import inspection, lookup, staff
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.presence import send_message
from django_redisjobs.core.records import (
    JobRecord,
    LostWorker,
    Stacks,
    WorkerRecord,
)
from django_redisjobs.core.scripts import Conversation, together
from django_redisjobs.monitoring.reading import lost_workers, merged

_OF_A_SUPERVISOR: Final = (
    "host",
    "boot_id",
    "pid_ns",
    "supervisor_start_time",
    "supervisor",
)

JOBS_SHOWN: Final = 20
"""Jobs of one process that are looked at; a process with coroutines may run hundreds."""

LOOKS: Final = 4
MOST_LOOKS: Final = 20
"""Where nobody was found yet."""
LOOK_SECONDS: Final = 0.05
"""To start a process takes less, mostly."""


@dataclass(frozen=True, slots=True)
class Staff:
    """Worker processes, what they run, and those that died or fell silent lately.

    ``jobs``: by id, at most ``JOBS_SHOWN`` a process.
    """

    now_ms: int
    workers: Sequence[WorkerRecord]
    jobs: Mapping[str, JobRecord]
    lost: Sequence[LostWorker]


@dataclass(frozen=True, slots=True)
class Colleague:
    """One worker process; ``stacks`` is what it has answered to ``dump`` lately."""

    now_ms: int
    record: WorkerRecord
    jobs: Mapping[str, JobRecord]
    stacks: Stacks | None


def take_staff() -> Staff:
    """Ask Redis. Raises ServerUnavailable."""
    return ask(_staff())


def take_colleague(record: WorkerRecord) -> Colleague:
    """What is around one process. Raises ServerUnavailable."""
    return ask(_colleague(record))


def tell(worker: str, message: str) -> bool:
    """Leave a message for one process, in a group that knows it; whether one does.

    ``quiet`` and ``stop`` are for all processes of its worker, ``dump`` for it alone.
    Raises ServerUnavailable.
    """
    return ask(_tell(worker, message))


def tell_workers(name: str | None, message: str) -> list[WorkerRecord]:
    """Leave what is for all processes of a worker for each living one of that name, or of
    any: containers may be called alike. Gives the processes of those that were told.

    Where processes live for a moment only, one may be gone before it is told, and there
    may be none at the moment of a look: so there are several. Raises ServerUnavailable.
    """
    told: dict[object, list[WorkerRecord]] = {}
    for look in range(MOST_LOOKS):
        if look >= LOOKS and told:
            break
        if look:
            Event().wait(LOOK_SECONDS)
        for supervisor, members in ask(_by_supervisor(name)).items():
            # One, and once: who is asked to stop a second time interrupts what runs.
            if supervisor not in told and any(tell(one.id, message) for one in members):
                told[supervisor] = members
    return [record for members in told.values() for record in members]


def _by_supervisor(name: str | None) -> Conversation[dict[object, list[WorkerRecord]]]:
    """The living processes of that name, or all, by their supervisor."""
    now_ms = yield from inspection.now_ms()
    parts = yield from together([staff.workers(keys) for keys in conf.groups()])
    found: dict[object, list[WorkerRecord]] = {}
    for record in merged(chain.from_iterable(parts)):
        if record.is_alive(now_ms) and name in (None, record.name):
            supervisor = tuple(record.info.get(each, "") for each in _OF_A_SUPERVISOR)
            key = supervisor if supervisor[-1] else record.id
            found.setdefault(key, []).append(record)
    return found


def _tell(worker: str, message: str) -> Conversation[bool]:
    for keys in conf.groups():
        if (yield from send_message(keys, worker, message)):
            return True
    return False


def _staff() -> Conversation[Staff]:
    groups = list(conf.groups())
    asked: list[Conversation[Any]] = [
        inspection.now_ms(),
        together([staff.workers(keys) for keys in groups]),
        lost_workers(groups),
    ]
    now_ms, parts, lost = yield from together(asked)
    workers = merged(chain.from_iterable(parts))
    jobs = yield from _jobs(groups, workers)
    return Staff(now_ms, workers, jobs, lost)


def _colleague(record: WorkerRecord) -> Conversation[Colleague]:
    groups = list(conf.groups())
    asked: list[Conversation[Any]] = [
        inspection.now_ms(),
        _jobs(groups, [record]),
        together([staff.stacks(keys, record.id) for keys in groups]),
    ]
    now_ms, jobs, answers = yield from together(asked)
    stacks = max(
        (one for one in answers if one), key=lambda one: one.at_ms, default=None
    )
    return Colleague(now_ms, record, jobs, stacks)


def _jobs(
    groups: Sequence[GroupKeys], workers: Sequence[WorkerRecord]
) -> Conversation[dict[str, JobRecord]]:
    ids = [job_id for one in workers for job_id in one.held[:JOBS_SHOWN]]
    found = yield from together([lookup.jobs(keys, ids, brief=True) for keys in groups])
    return {record.id: record for part in found for record in part}
