"""What of a site is open to whom: links from one page to others, and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_redisjobs import conf
from django_redisjobs.admin.conditions import Condition
from django_redisjobs.admin.pages import may
from django_redisjobs.admin.sources import job_row, lost_row, queue_row, worker_row
from django_redisjobs.core.records import (
    JobRecord,
    LostWorker,
    QueueCounts,
    WorkerRecord,
)
from django_redisjobs.models import Job, Queue, Worker
from django_redisjobs.serialization import ModelReference

T = TypeVar("T")

_ROWS: Final[Mapping[type[Any], Callable[[Any], Any]]] = {
    JobRecord: job_row,
    QueueCounts: lambda counts: queue_row(0, counts, 0),
    WorkerRecord: worker_row,
    LostWorker: lost_row,
}


class Links:
    """What ``request``'s user may see on ``site``; "" stands for no link."""

    def __init__(self, site: admin.AdminSite, request: HttpRequest) -> None:
        self._site = site
        self._request = request
        self._limits: dict[type[Any], Condition | None] = {}

    def page(self, model: type[Any], pk: str) -> str:
        """The address of one row, if there is one for who asks."""
        if not self.is_open(model):
            return ""
        meta = model._meta
        name = f"admin:{meta.app_label}_{meta.model_name}_change"
        try:
            return reverse(name, args=[quote(pk)], current_app=self._site.name)
        except NoReverseMatch:
            return ""

    def is_open(self, model: type[Any]) -> bool:
        """Whether the site has pages of that model, and who asks may see them."""
        return self._site.is_registered(model) and self.may_view(model)

    def may_view(self, model: type[Any]) -> bool:
        """Whether who asks may see rows of that model, on whichever page."""
        if not self._site.is_registered(model):
            return may(self._request, f"view_{model._meta.model_name}")
        options = self._site.get_model_admin(model)
        return bool(options.has_view_permission(self._request))

    def is_limited(self, model: type[Any]) -> bool:
        """Whether the site's model admin is a subclass that may keep rows from them."""
        return self._limit(model) is not None

    def to(self, model: type[Any], pk: str, text: str) -> SafeString | str:
        """A link; the bare text where there is no such page."""
        address = self.page(model, pk)
        return format_html('<a href="{}">{}</a>', address, text) if address else text

    def visible(self, model: type[Any], records: Iterable[T]) -> list[T]:
        """Those of these records that ``get_queryset()`` of the site's model admin has
        as rows.
        """
        limit = self._limit(model)
        if limit is None:
            return list(records)
        return [record for record in records if limit.test(_ROWS[type(record)](record))]

    def _limit(self, model: type[Any]) -> Condition | None:
        if model not in self._limits:
            # To say what it shows, a project's subclass may ask its database.
            self._limits[model] = self._limit_of(model)
        return self._limits[model]

    def _limit_of(self, model: type[Any]) -> Condition | None:
        if not self._site.is_registered(model):
            return None
        condition: Condition = self._rows(model).condition()
        return None if condition.is_empty else condition

    def _rows(self, model: type[Any]) -> Any:
        return self._site.get_model_admin(model).get_queryset(self._request)

    def queue_names(self) -> list[str]:
        """The queues of the settings, without those that are hidden from who asks."""
        names = list(conf.get_settings().queues)
        if not self.is_limited(Queue):
            return names
        return [row.name for row in self._rows(Queue).filter(pk__in=names)]

    def job(self, job_id: str, text: str = "") -> SafeString | str:
        return self.to(Job, job_id, text or job_id)

    def queue(self, name: str) -> SafeString | str:
        """The list of the queue's jobs."""
        if not self.is_open(Job):
            return name
        address = reverse(
            "admin:redisjobs_job_changelist",
            query={"queue": name},
            current_app=self._site.name,
        )
        return format_html('<a href="{}">{}</a>', address, name)

    def worker(self, worker: str) -> SafeString | str:
        return self.to(Worker, worker, worker)

    def references(self, value: object) -> Iterator[SafeString]:
        """Links to the model instances in a value; nobody looks whether they exist."""
        for reference in dict.fromkeys(_references(value)):
            try:
                model = apps.get_model(reference.label)
            except (LookupError, ValueError):
                continue
            address = self.page(model, reference.pk)
            if address:
                name = f"{model._meta.verbose_name} {reference.pk}"
                yield format_html('<a href="{}">{}</a>', address, name)


def _references(value: object) -> Iterator[ModelReference]:
    if isinstance(value, ModelReference):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _references(pair)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _references(each)
