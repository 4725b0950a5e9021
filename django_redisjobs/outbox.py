"""The outbox: jobs in the database of the transaction that made them, until Redis has
them.

A row is written with the data and deleted by who has sent its job: usually the process
that committed; else a worker's relay, which takes rows that stay. Both may send the
same job, so Redis remembers the ids of an outbox's jobs for a week. Only a sender who
knows that nobody else can send a job any more has that forgotten earlier.
``docs/explanation/outbox.md`` has the reasons.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connections, router
from django.db.models import (
    Count,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    Min,
    Q,
)
from django.db.models.functions import Now
from django.db.transaction import atomic

from django_redisjobs import conf
from django_redisjobs.core.records import REMEMBERED, NewJob
from django_redisjobs.exceptions import EnqueueError

# Who committed has so long to send by himself. Nothing depends on it but work done
# twice, for nothing.
GRACE_SECONDS: Final = 5.0
# A relay that has not sent in this time is believed dead. Again: if it is not, its job
# is sent twice and taken once.
PATIENCE_SECONDS: Final = 60.0
MOST_TAKEN: Final = 200
"""Rows that a relay takes at once."""

_COLUMNS: Final = NewJob._fields
_DUMMY: Final = "django.db.backends.dummy"


def store(jobs: Sequence[NewJob], alias: str) -> list[NewJob]:
    """Write them in the open transaction of a database; gives what is to be sent.

    Raises:
        EnqueueError: the database refused.
    """
    marked = [job._replace(callbacks=job.callbacks | REMEMBERED) for job in jobs]
    rows = [
        _model()(**{name: getattr(job, name) for name in _COLUMNS}) for job in marked
    ]
    try:
        _model().objects.using(alias).bulk_create(rows)
    except (DatabaseError, InterfaceError) as error:
        raise EnqueueError(
            f"{len(rows):,} jobs were not written to the outbox of the database "
            f"{alias!r}: {str(error).strip()}. Has it the tables of this package "
            f"(manage.py migrate redisjobs --database {alias})?"
        ) from error
    return marked


def remove(ids: Collection[str], alias: str) -> bool:
    """Delete the rows of jobs that were sent. True: nobody else can send them now.

    False where a relay has taken one: it may send it at any time yet.
    """
    rows = _model().objects.using(alias)
    deleted, _ = rows.filter(id__in=ids, taken_at=None).delete()
    return bool(deleted == len(ids))


def take(
    alias: str, taker: str, without: Collection[str] = frozenset()
) -> list[NewJob]:
    """Take rows that nobody else will send, as it seems; the oldest first. Those of the
    queues ``without`` stay.

    Their delay and their time to live are what is left of them.
    """
    rows = _model().objects.using(alias)
    free = rows.filter(
        _is_left(),
        queue__in=[each for each in conf.get_settings().queues if each not in without],
        created_at__lt=_ago(GRACE_SECONDS),
    )
    # Most times there is none: no write, no lock.
    ids = list(free.order_by("id").values_list("id", flat=True)[:MOST_TAKEN])
    if not ids:
        return []
    # One statement: of several relays one finds a row free.
    rows.filter(_is_left(), id__in=ids).update(taken_by=taker, taken_at=Now())
    age = ExpressionWrapper(Now() - F("created_at"), output_field=DurationField())
    mine = rows.filter(id__in=ids, taken_by=taker).annotate(age=age).order_by("id")
    return [_job(row) for row in mine]


def give_back(ids: Collection[str], alias: str, taker: str) -> None:
    """These could not be sent: whoever comes next may try."""
    rows = _model().objects.using(alias).filter(id__in=ids, taken_by=taker)
    rows.update(taken_by="", taken_at=None)


def drop(ids: Collection[str], alias: str, taker: str) -> None:
    """Delete taken rows whose jobs were sent.

    Redis goes on remembering them: who committed may have been stopped before he sent.
    """
    _model().objects.using(alias).filter(id__in=ids, taken_by=taker).delete()


def new_taker() -> str:
    """A name for one taking of rows."""
    return secrets.token_hex(10)


def is_used() -> bool:
    """Whether any queue has an outbox."""
    return any(queue.outbox for queue in conf.get_settings().queues.values())


def aliases() -> list[str]:
    """The databases that may have an outbox. Of several, Django has the default one be a
    dummy where nobody is to use it.
    """
    return [
        alias
        for alias in connections
        if connections.settings[alias]["ENGINE"] != _DUMMY
        and router.allow_migrate_model(alias, _model())
    ]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is in the outbox of one database. ``trouble``: why nobody can tell."""

    alias: str
    jobs: int = 0
    oldest_seconds: float = 0.0
    trouble: str = ""


def waiting() -> list[Waiting]:
    """What is in the outboxes now, also what is just being sent; empty without any."""
    return [_waiting(alias) for alias in aliases()] if is_used() else []


def _waiting(alias: str) -> Waiting:
    age = ExpressionWrapper(Now() - Min("created_at"), output_field=DurationField())
    try:
        # In a transaction of its own, which a table that is not there may spoil.
        with atomic(using=alias):
            found = _model().objects.using(alias).aggregate(jobs=Count("id"), age=age)
    except (DatabaseError, InterfaceError) as error:
        return Waiting(alias, trouble=str(error).strip())
    if not found["jobs"]:
        return Waiting(alias)
    return Waiting(alias, found["jobs"], max(0.0, found["age"].total_seconds()))


def has_table(alias: str) -> bool:
    """Whether the database has the table. Raises DatabaseError if it does not answer."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
    return _model()._meta.db_table in names


def _model() -> Any:
    # Not imported above: without an outbox, jobs may be sent before Django's models are
    # ready, and by code that is in no project.
    return apps.get_model("redisjobs", "OutboxEntry")


def _is_left() -> Q:
    return Q(taken_at=None) | Q(taken_at__lt=_ago(PATIENCE_SECONDS))


def _ago(seconds: float) -> ExpressionWrapper[Any]:
    moment = Now() - timedelta(seconds=seconds)
    return ExpressionWrapper(moment, output_field=DateTimeField())


def _job(row: Any) -> NewJob:
    job = NewJob(**{name: getattr(row, name) for name in _COLUMNS})
    age_ms = max(0, round(row.age.total_seconds() * 1000))
    delay_ms, ttl_ms = job.delay_ms, job.ttl_ms
    if delay_ms is not None:
        left_ms = max(0, delay_ms - age_ms)
        age_ms -= delay_ms - left_ms
        delay_ms = left_ms
    if ttl_ms is not None and job.due_ms is None:
        # At least one: the job is to be seen, as expired.
        ttl_ms = max(1, ttl_ms - age_ms)
    return job._replace(delay_ms=delay_ms, ttl_ms=ttl_ms)
