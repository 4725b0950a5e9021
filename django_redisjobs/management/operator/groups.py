"""The groups of queues that this project has, and which of them knows a job."""

from __future__ import annotations

from collections.abc import Sequence

from django_redisjobs import conf
from django_redisjobs.calls import ask, places
from django_redisjobs.core import inspection, lookup, staff
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import JobRecord, WorkerRecord
from django_redisjobs.core.scripts import together
from django_redisjobs.exceptions import JobNotFound
from django_redisjobs.monitoring.reading import merged


def groups_with_queues() -> list[tuple[GroupKeys, list[str]]]:
    """The queues of each group: those of the settings, then others in Redis."""
    return ask(places())


def find_job(job_id: str) -> tuple[GroupKeys, JobRecord]:
    """A job and its group. Raises JobNotFound."""
    for keys in conf.groups():
        record = ask(lookup.job(keys, job_id))
        if record is not None:
            (record,) = ask(lookup.due_next(keys, [record]))
            return keys, record
    raise JobNotFound(
        f"Redis knows no job {job_id!r}. It was deleted, or ended longer ago than "
        "REDISJOBS['KEEP'] says, or its transaction has not committed."
    )


def sort_by_group(
    ids: Sequence[str], home: GroupKeys | None = None
) -> dict[GroupKeys, list[str]]:
    """Ids by the group that knows them; what nobody knows is in ``home``, by default
    the first.
    """
    groups = list(conf.groups())
    parts = ask(together([lookup.known(keys, ids) for keys in groups]))
    group_of = {
        job_id: keys
        for keys, known in zip(groups, parts, strict=True)
        for job_id in known
    }
    found: dict[GroupKeys, list[str]] = {}
    for job_id in ids:
        found.setdefault(group_of.get(job_id, home or groups[0]), []).append(job_id)
    return found


def server_ms() -> int:
    """The server's time, which all stored times are in."""
    return ask(inspection.now_ms())


def all_workers() -> list[WorkerRecord]:
    """All registered workers. One that serves several groups is in it once."""
    return merged(
        record for keys in conf.groups() for record in ask(staff.workers(keys))
    )
