"""The list of queues: what waits, for how long, what went wrong."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_redisjobs.admin.formats import NOTHING, duration, number, when
from django_redisjobs.admin.pages import LiveAdmin
from django_redisjobs.models import Queue


class QueueAdmin(LiveAdmin):
    """Queues, in the order of the settings."""

    list_display = (
        "name",
        "waiting",
        "oldest",
        "running_now",
        "later",
        "failures",
        "successes",
        "parked_now",
        "pause",
    )
    ordering = ("position",)
    fields = (
        *("name", "pending", "oldest", "running", "scheduled", "failed", "succeeded"),
        *("cancelled", "expired", "parked", "pause"),
    )
    readonly_fields = ("oldest", "pause")

    @admin.display(description=_("pending"), ordering="pending")
    def waiting(self, queue: Queue) -> SafeString:
        """Jobs that could start now."""
        return self._jobs(queue, "pending")

    @admin.display(description=_("oldest waits"), ordering="oldest_seconds")
    def oldest(self, queue: Queue) -> str:
        """How long the job at the head of the queue waits already."""
        return duration(queue.oldest_seconds) if queue.pending else NOTHING

    @admin.display(description=_("running"), ordering="running")
    def running_now(self, queue: Queue) -> SafeString:
        """Jobs that workers hold."""
        return self._jobs(queue, "running")

    @admin.display(description=_("scheduled"), ordering="scheduled")
    def later(self, queue: Queue) -> SafeString:
        """Jobs for later, and those that wait for a retry."""
        return self._jobs(queue, "scheduled")

    @admin.display(description=_("failed"), ordering="failed")
    def failures(self, queue: Queue) -> SafeString:
        """Failed jobs that are still kept."""
        return self._jobs(queue, "failed")

    @admin.display(description=_("succeeded"), ordering="succeeded")
    def successes(self, queue: Queue) -> SafeString:
        """Succeeded jobs that are still kept."""
        return self._jobs(queue, "succeeded")

    @admin.display(description=_("parked"), ordering="parked")
    def parked_now(self, queue: Queue) -> SafeString:
        """Jobs whose function no worker knows."""
        return self._jobs(queue, "parked")

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

    def _jobs(self, queue: Queue, status: str) -> SafeString:
        """A number that leads to those jobs."""
        value: Any = number(getattr(queue, status))
        address = reverse("admin:redisjobs_job_changelist", current_app=self._site)
        asked = urlencode({"queue": queue.name, "status__exact": status})
        return format_html('<a href="{}?{}">{}</a>', address, asked, value)

    @property
    def _site(self) -> str:
        return self.admin_site.name
