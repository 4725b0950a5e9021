"""Queue, Job and Worker as Django sees them: models without a table. And OutboxEntry,
which has one.

The rows of the former are read from Redis at each query. They give the admin its
permissions and its pages, and may be read as query sets; nothing of them is ever in
the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from django.db import NotSupportedError, models
from django.db.models.functions import Now
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_redisjobs.core.keys import GroupKeys
    from django_redisjobs.core.payload import Body
    from django_redisjobs.core.records import JobRecord, WorkerRecord

# By name: a query set asks Redis through layers that stand above this module.
LIVE_QUERY_SET = "django_redisjobs.admin.queryset.RedisQuerySet"


class LiveManager(models.Manager[Any]):
    """Query sets whose rows come from Redis."""

    def get_queryset(self) -> models.QuerySet[Any]:
        query_set: models.QuerySet[Any] = import_string(LIVE_QUERY_SET)(self.model)
        return query_set


class LiveModel(models.Model):
    """A row as it was when it was read. It cannot be saved or deleted here."""

    objects = LiveManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotSupportedError: jobs change through their handles."""
        raise NotSupportedError(_refusal(self))

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotSupportedError: jobs are deleted through their handles."""
        raise NotSupportedError(_refusal(self))


def _refusal(row: models.Model) -> str:
    return (
        f"{row._meta.verbose_name} {row.pk} is not in the database. Use get_job(id) "
        "or get_queue(name) of django_redisjobs to change something."
    )


class Queue(LiveModel):
    """A queue, with the number of its jobs in each status."""

    name = models.CharField(_("queue"), max_length=200, primary_key=True)
    position = models.IntegerField(_("order in the settings"))
    pending = models.IntegerField(_("pending"))
    oldest_seconds = models.FloatField(_("oldest waits"))
    running = models.IntegerField(_("running"))
    scheduled = models.IntegerField(_("scheduled"))
    failed = models.IntegerField(_("failed"))
    succeeded = models.IntegerField(_("succeeded"))
    cancelled = models.IntegerField(_("cancelled"))
    expired = models.IntegerField(_("expired"))
    parked = models.IntegerField(_("parked"))
    paused = models.BooleanField(_("paused"))
    pause_reason = models.CharField(_("why it is paused"), max_length=500)
    paused_by = models.CharField(_("who paused it"), max_length=200)
    paused_until = models.DateTimeField(_("paused until"), null=True)

    class Meta:
        managed = False
        default_manager_name = base_manager_name = "objects"
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("pause_queue", "Can pause and resume queue"),
            ("purge_queue", "Can purge queue"),
        ]
        verbose_name = _("queue")
        verbose_name_plural = _("queues")

    def __str__(self) -> str:
        return self.name


class Job(LiveModel):
    """A job. ``record`` has what has no column: arguments, result, attempts. ``body``
    is its call, as it is stored; None where nobody can read it. One that was looked up
    by its id has the ``keys`` of its group, which the settings may not tell any more.
    """

    class Status(models.TextChoices):
        """The statuses, by their names for people."""

        PENDING = "pending", _("pending")
        SCHEDULED = "scheduled", _("scheduled")
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")
        EXPIRED = "expired", _("expired")
        PARKED = "parked", _("parked")

    id = models.CharField(_("id"), max_length=40, primary_key=True)
    function = models.CharField(_("function"), max_length=300)
    queue = models.CharField(_("queue"), max_length=200)
    status = models.CharField(_("status"), max_length=20, choices=Status.choices)
    priority = models.IntegerField(_("priority"))
    enqueued_at = models.DateTimeField(_("enqueued"))
    changed_at = models.DateTimeField(_("last change"))
    due_at = models.DateTimeField(_("due"), null=True)
    expires_at = models.DateTimeField(_("expires"), null=True)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    run = models.IntegerField(_("runs"))
    attempts_made = models.IntegerField(_("attempts"))
    crashes = models.IntegerField(_("crashes"))
    worker = models.CharField(_("worker"), max_length=100)
    error = models.TextField(_("error"))

    record: JobRecord
    body: Body | None
    keys: GroupKeys

    class Meta:
        managed = False
        default_manager_name = base_manager_name = "objects"
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("retry_job", "Can retry job"),
            ("cancel_job", "Can cancel job"),
            ("delete_job", "Can delete job"),
            ("run_job", "Can run job now"),
            ("move_job", "Can move job to another queue"),
        ]
        verbose_name = _("job")
        verbose_name_plural = _("jobs")

    def __str__(self) -> str:
        return f"{self.function} {self.id}"


class Worker(LiveModel):
    """A worker process. ``record`` has the ids of the jobs that it holds."""

    id = models.CharField(_("worker"), max_length=100, primary_key=True)
    host = models.CharField(_("host"), max_length=255)
    pid = models.IntegerField(_("process"), null=True)
    queues = models.CharField(_("queues"), max_length=1000)
    started_at = models.DateTimeField(_("started"), null=True)
    lease_ends_at = models.DateTimeField(_("lease until"))
    held = models.IntegerField(_("holds"))

    record: WorkerRecord

    class Meta:
        managed = False
        default_manager_name = base_manager_name = "objects"
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("control_worker", "Can quiet, stop and inspect worker")
        ]
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.id


class OutboxEntry(models.Model):
    """A job that a transaction has made, until Redis has it. See ``outbox``.

    Its columns are those of ``core.records.NewJob``. ``taken_by`` is which relay has
    taken it upon itself to send it, and ``taken_at`` since when; None: nobody has.
    """

    id = models.CharField(_("job"), max_length=40, primary_key=True)
    queue = models.CharField(_("queue"), max_length=64)
    body = models.TextField(_("call"))
    priority = models.IntegerField(_("priority"), default=0)
    delay_ms = models.BigIntegerField(_("delay"), null=True)
    due_ms = models.BigIntegerField(_("due"), null=True)
    ttl_ms = models.BigIntegerField(_("expires after"), null=True)
    callbacks = models.SmallIntegerField(_("callbacks"), default=0)
    # The database's clock: those of producers and workers may be off.
    created_at = models.DateTimeField(_("made"), db_default=Now())
    taken_by = models.CharField(_("taken by"), max_length=40, default="")
    taken_at = models.DateTimeField(_("taken"), null=True)

    class Meta:
        default_permissions = ("view",)
        verbose_name = _("job to be sent")
        verbose_name_plural = _("jobs to be sent")

    def __str__(self) -> str:
        return self.id
