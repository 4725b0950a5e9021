"""The list of jobs and the page of one job."""

from __future__ import annotations

import re
from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator, smart_split, unescape_string_literal
from django.utils.translation import gettext_lazy as _

from django_redisjobs import conf
from django_redisjobs.admin.actions import ACTIONS, as_admin_action
from django_redisjobs.admin.buttons import act_view, buttons
from django_redisjobs.admin.formats import badge, between, when
from django_redisjobs.admin.joblist import (
    FunctionFilter,
    JobList,
    QueueFilter,
    TimeFilter,
)
from django_redisjobs.admin.jobpage import JobPage, reason_of
from django_redisjobs.admin.links import Links
from django_redisjobs.admin.pages import LiveAdmin, may
from django_redisjobs.admin.queryset import RedisQuerySet
from django_redisjobs.admin.search import has_words
from django_redisjobs.core.records import ID_PATTERN, new_id
from django_redisjobs.models import Job

# A callback's id is that of the job it belongs to, and a suffix.
WHOLE_ID = re.compile(rf"{ID_PATTERN}(-\w+)?")
# Ids are ordered by time, and those of 2022 begin so. Other numbers are as long, too:
# most of them are none that can have been made by now.
OLDEST_ID = "3"
REASON_LENGTH = 300
"""Characters of why a job failed that the list shows on demand; it has two lines."""


class JobAdmin(LiveAdmin):
    """Jobs, newest first."""

    list_display = (
        "short_id",
        "function_name",
        "queue",
        "state",
        "enqueued",
        "ran",
        "run",
    )
    list_display_links = ("short_id", "function_name")
    list_filter = ("status", QueueFilter, FunctionFilter, TimeFilter)
    date_hierarchy = "changed_at"
    search_fields = ("id", "function")
    search_help_text = _(
        "Words of which each is in the id, the function's name or an argument's value."
    )
    fields = ("id", "function", "queue", "status")
    actions = [as_admin_action(action) for action in ACTIONS.values()]

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may have jobs run again."""
        return may(request, "retry_job")

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may have scheduled jobs run now."""
        return may(request, "run_job")

    def has_move_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may take jobs to another queue."""
        return may(request, "move_job")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may cancel jobs."""
        return may(request, "cancel_job")

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may delete jobs; Django's own deletion is another one."""
        return may(request, "delete_job")

    def get_urls(self) -> list[URLPattern]:
        """The admin's pages of jobs, and where the buttons of one job lead."""
        view = self.admin_site.admin_view(self.act_view)
        own = path("<path:object_id>/act/", view, name="redisjobs_job_act")
        return [own, *super().get_urls()]

    def act_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Do something to one job, or a page that says that Redis is away."""
        return self._live(request, act_view, self, request, object_id)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[JobList]:
        """The list that reads a page in one go."""
        return JobList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Not what REDACT may hide: an answer for each guess would tell it."""
        hidden = lookup.partition("__")[0] == "error" and conf.get_settings().redact
        return not hidden and bool(super().lookup_allowed(lookup, value, request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """A whole id is looked up, all else is searched for."""
        term = search_term.strip().lstrip("…").lower()
        if WHOLE_ID.fullmatch(term) and OLDEST_ID <= term < new_id():
            return queryset.filter(pk=term), False
        words = [_unquoted(word) for word in smart_split(search_term.replace("…", ""))]
        if not words:
            return queryset, False
        assert isinstance(queryset, RedisQuerySet)
        return queryset.matching(lambda job: has_words(cast(Job, job), words)), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list; where there are more jobs than it looks at, it says so.

        Raises:
            PermissionDenied: an action was sent that is not this user's.
        """
        for name in ACTIONS.keys() & set(request.POST.getlist("action")):
            if not getattr(self, f"has_{name}_permission")(request):
                raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """All that is stored of one job."""
        if isinstance(obj, Job):
            # The page has a title of its own, with more in it.
            context |= {
                "job": JobPage(obj, Links(self.admin_site, request)),
                "buttons": list(buttons(self.admin_site, request, obj.record.status)),
                "subtitle": None,
            }
        return super().render_change_form(
            request, context, add=add, change=change, form_url=form_url, obj=obj
        )

    @admin.display(description=_("id"), ordering="id")
    def short_id(self, job: Job) -> SafeString:
        """The end of the id: the beginning is a time, alike for all of one moment."""
        return format_html('<code title="{}">…{}</code>', job.id, job.id[-8:])

    @admin.display(description=_("function"), ordering="function")
    def function_name(self, job: Job) -> SafeString | str:
        """The function's name, its module as a hint."""
        if not job.function:
            return str(_("(unreadable)"))
        module, _dot, name = job.function.rpartition(".")
        return format_html(
            '<span title="{}">{}</span><br><small class="rj-quiet">{}</small>',
            job.function,
            name,
            module,
        )

    @admin.display(description=_("status"), ordering="status")
    def state(self, job: Job) -> SafeString:
        """The status as a badge, and why a job failed."""
        # Of a body that cannot be read here nobody can tell what REDACT hides.
        reason = Truncator(reason_of(job) if job.body else "").chars(REASON_LENGTH)
        if not reason:
            return badge(job.status)
        return format_html(
            '{}<small class="rj-quiet rj-why" title="{}">{}</small>',
            badge(job.status),
            reason,
            reason,
        )

    @admin.display(description=_("enqueued"), ordering="enqueued_at")
    def enqueued(self, job: Job) -> SafeString | str:
        """When it was enqueued; for a scheduled one also when it is due."""
        if job.status == Job.Status.SCHEDULED and job.due_at:
            return format_html(
                '{}<br><small class="rj-quiet">{} {}</small>',
                when(job.enqueued_at),
                _("due"),
                when(job.due_at),
            )
        return when(job.enqueued_at)

    @admin.display(description=_("started"), ordering="started_at")
    def ran(self, job: Job) -> SafeString | str:
        """When its last run began, and how long it took once it has ended."""
        if not job.finished_at:
            return when(job.started_at)
        return format_html(
            '{}<br><small class="rj-quiet">{}</small>',
            when(job.started_at),
            between(job.started_at, job.finished_at),
        )


def _unquoted(word: str) -> str:
    is_quoted = len(word) > 1 and word[0] in "\"'" and word[0] == word[-1]
    return unescape_string_literal(word) if is_quoted else word
