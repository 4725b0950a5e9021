"""How the jobs behind an activity are doing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django_redisjobs import get_job
from django_redisjobs.exceptions import JobNotFound, PayloadMalformed, ServerUnavailable
from shop.models import Activity

# A bulk of thousands is judged by its first jobs: a page must not ask for all.
LOOKED_AT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """One job of an activity, as a person wants to see it."""

    id: str
    name: str
    status: str
    runs: int = 0
    note: str = ""
    percent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An activity with the states of its jobs."""

    activity: Activity
    jobs: list[JobState]
    more: int
    summary: str


def recent(order_pk: int | None = None, limit: int = 8) -> list[Shown]:
    """The newest activities, of one order or of all."""
    found = Activity.objects.order_by("-pk")
    if order_pk is not None:
        found = found.filter(order_id=order_pk)
    return [show(activity) for activity in found[:limit]]


def show(activity: Activity) -> Shown:
    """An activity and the state of its first jobs."""
    jobs = [state(job_id) for job_id in activity.job_ids[:LOOKED_AT]]
    counted = Counter(job.status for job in jobs)
    return Shown(
        activity=activity,
        jobs=jobs if len(activity.job_ids) <= LOOKED_AT else [],
        more=len(activity.job_ids),
        summary=", ".join(f"{number} {status}" for status, number in counted.items()),
    )


def state(job_id: str) -> JobState:
    """What Redis says of one job; never an error."""
    try:
        info = get_job(job_id).info()
    except JobNotFound:
        return JobState(id=job_id, name="", status="gone")
    except (ServerUnavailable, PayloadMalformed) as error:
        return JobState(id=job_id, name="", status="unknown", note=str(error))
    progress, fraction = info.progress, None
    if progress:
        fraction = progress.fraction
    return JobState(
        id=job_id,
        name=info.function.rpartition(".")[2],
        status=info.status.value,
        runs=len(info.attempts),
        note=progress.message if progress else info.error,
        percent=None if fraction is None else int(100 * fraction),
    )
