"""The list of workers: where they run, until when they are believed alive."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_redisjobs.admin.formats import NOTHING, duration, when
from django_redisjobs.admin.pages import LiveAdmin
from django_redisjobs.models import Worker

SHOWN = 5
"""Held jobs that a row names."""


class WorkerAdmin(LiveAdmin):
    """Workers that are registered now."""

    list_display = ("id", "host", "pid", "serves", "started", "lease", "holding")
    ordering = ("host", "pid")
    search_fields = ("id", "host", "queues")
    fields = ("id", "host", "pid", "serves", "started", "lease", "holding")
    readonly_fields = ("serves", "started", "lease", "holding")

    @admin.display(description=_("queues"), ordering="queues")
    def serves(self, worker: Worker) -> str:
        """The queues it claims from, the most urgent first."""
        return ", ".join(worker.queues.replace(",", " ").split())

    @admin.display(description=_("started"), ordering="started_at")
    def started(self, worker: Worker) -> SafeString | str:
        """When its process began."""
        return when(worker.started_at)

    @admin.display(description=_("lease"), ordering="lease_ends_at")
    def lease(self, worker: Worker) -> SafeString:
        """For how long others leave alone what it holds."""
        now = timezone.now()
        if timezone.is_naive(worker.lease_ends_at):
            now = timezone.make_naive(now)
        seconds = (worker.lease_ends_at - now).total_seconds()
        if seconds > 0:
            return format_html(
                '<span class="rj-badge rj-succeeded">{}</span> {}',
                gettext("alive"),
                gettext("for another %s") % duration(seconds),
            )
        return format_html(
            '<span class="rj-badge rj-failed">{}</span> {}',
            gettext("silent"),
            gettext("since %s") % duration(-seconds),
        )

    @admin.display(description=_("holds"), ordering="held")
    def holding(self, worker: Worker) -> SafeString | str:
        """The jobs it has claimed, running or about to run."""
        held = worker.record.held
        if not held:
            return NOTHING
        links = format_html_join(
            ", ",
            '<a href="{}"><code>{}</code></a>',
            (
                (
                    reverse(
                        "admin:redisjobs_job_change",
                        args=[job_id],
                        current_app=self.admin_site.name,
                    ),
                    f"…{job_id[-8:]}",
                )
                for job_id in held[:SHOWN]
            ),
        )
        more = len(held) - SHOWN
        return format_html(
            "{}{}", links, gettext(" and %d more") % more if more > 0 else ""
        )
