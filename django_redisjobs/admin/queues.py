"""The queues: their list is the overview of all that goes on."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_redisjobs import views
from django_redisjobs.admin.actions import RETRY
from django_redisjobs.admin.formats import NOTHING, duration, when
from django_redisjobs.admin.grouping import retry_group_view
from django_redisjobs.admin.links import Links
from django_redisjobs.admin.overview import OverviewPage
from django_redisjobs.admin.pages import LIVE_HEADER, LiveAdmin, may
from django_redisjobs.admin.pausing import PERMISSION, pause_view
from django_redisjobs.admin.purging import purge_view
from django_redisjobs.models import Job, Queue, Worker
from django_redisjobs.monitoring.periods import Period, period_of
from django_redisjobs.monitoring.reading import take_overview

PAGE = "admin/redisjobs/queue/overview.html"
LIVE_PART = "admin/redisjobs/queue/overview_live.html"
FILTERS = {"queue": "queue", "status": "status__exact", "function": "function"}
"""The parameters of the list of jobs."""


class QueueAdmin(LiveAdmin):
    """Queues, in the order of the settings."""

    list_display = ("name",)
    ordering = ("position",)
    fields = (
        *("name", "pending", "oldest", "running", "scheduled", "failed", "succeeded"),
        *("cancelled", "expired", "parked", "pause"),
    )
    readonly_fields = ("oldest", "pause")

    def get_urls(self) -> list[URLPattern]:
        """The admin's pages of queues, and what may be done from there."""
        view = self.admin_site.admin_view(self.pause_view)
        retry_group = self.admin_site.admin_view(self.retry_group_view)
        purge = self.admin_site.admin_view(self.purge_view)
        return [
            path("<path:name>/pause/", view, name="redisjobs_queue_pause"),
            path("retry-group/", retry_group, name="redisjobs_queue_retry_group"),
            path("<path:name>/purge/", purge, name="redisjobs_queue_purge"),
            # Not behind the admin's login: these ask for a token or a permission.
            path("stats.json", views.stats, name="redisjobs_queue_stats"),
            path("metrics", views.metrics, name="redisjobs_queue_metrics"),
            *super().get_urls(),
        ]

    def pause_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Pause a queue or let it go on, or a page that says that Redis is away."""
        return self._live(request, pause_view, self, request, name)

    def retry_group_view(self, request: HttpRequest) -> HttpResponse:
        """Run a group of failures again, or a page that says that Redis is away."""
        return self._live(request, retry_group_view, self, request)

    def purge_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Delete what waits in a queue, or a page that says that Redis is away."""
        return self._live(request, purge_view, self, request, name)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The overview, or a page that says that Redis is away."""
        if request.method == "POST":
            return super().changelist_view(request, extra_context)
        return self._live(request, self._overview, request, extra_context)

    def _overview(
        self, request: HttpRequest, extra_context: dict[str, Any] | None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        links = Links(self.admin_site, request)
        may_see_jobs, may_see_workers = links.may_view(Job), links.may_view(Worker)
        has_workers = links.is_open(Worker)
        jobs = partial(self._jobs, request) if links.is_open(Job) else _no_address
        page = OverviewPage(take_overview(_period(request)), jobs, links)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Background jobs"),
            "opts": self.opts,
            "page": page,
            # They name workers.
            "marks": page.marks() if may_see_workers else [],
            "may_see_jobs": may_see_jobs,
            "may_pause": may(request, PERMISSION),
            "may_retry": RETRY.is_permitted(self.admin_site, request),
            "may_purge": may(request, "purge_queue"),
            "may_see_workers": may_see_workers,
            "workers_link": self._address(request, "worker") if has_workers else "",
            **(extra_context or {}),
        }
        is_live = request.headers.get(LIVE_HEADER) == "rj-overview"
        request.current_app = self.admin_site.name
        return TemplateResponse(request, LIVE_PART if is_live else PAGE, context)

    def _jobs(self, request: HttpRequest, **filters: str) -> str:
        """The list of jobs with these filters."""
        asked = urlencode({FILTERS[name]: value for name, value in filters.items()})
        address = self._address(request, "job")
        return f"{address}?{asked}" if asked else address

    def _address(self, request: HttpRequest, model: str) -> str:
        return reverse(
            f"admin:redisjobs_{model}_changelist", current_app=self.admin_site.name
        )

    @admin.display(description=_("oldest waits"), ordering="oldest_seconds")
    def oldest(self, queue: Queue) -> str:
        """How long the oldest pending job of the queue waits already."""
        return duration(queue.oldest_seconds) if queue.pending else NOTHING

    @admin.display(description=_("paused"), ordering="paused")
    def pause(self, queue: Queue) -> SafeString | str:
        """Whether workers leave the queue alone, and why."""
        if not queue.paused:
            return NOTHING
        until = (
            format_html(" {} {}", gettext("until"), when(queue.paused_until))
            if queue.paused_until
            else ""
        )
        who = f" {gettext('by')} {queue.paused_by}" if queue.paused_by else ""
        why = f": {queue.pause_reason}" if queue.pause_reason else ""
        return format_html(
            '<span class="rj-badge rj-paused">{}</span>{}{}{}',
            gettext("paused"),
            until,
            who,
            why,
        )


def _no_address(**_filters: str) -> str:
    return ""


def _period(request: HttpRequest) -> Period:
    return period_of(request.GET.get("period", ""))
