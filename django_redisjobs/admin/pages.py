"""What the admin pages share: they only show, and they bear a Redis that is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import IS_FACETS_VAR, get_content_type_for_model
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from django_redisjobs.exceptions import ConfigurationError, ServerUnavailable

AWAY = (ServerUnavailable, ConfigurationError)
UNAVAILABLE = "admin/redisjobs/unavailable.html"
LIVE_HEADER = "X-Redisjobs-Live"
"""Of a request for one element of a page, which it names."""


def may(request: HttpRequest, permission: str) -> bool:
    """Whether who asks has that permission of this app, such as "retry_job"."""
    # Of any user: a project may have a model of its own, without a common base.
    user: Any = request.user
    return bool(user.has_perm(f"redisjobs.{permission}"))


def log_entry(
    request: HttpRequest,
    model: type[Model],
    key: str | None,
    name: str,
    flag: int,
    words: str,
) -> LogEntry:
    """For Django's admin log, not saved yet: who asks did this to that. ``key`` is None
    for many at once.
    """
    return LogEntry(
        user_id=str(request.user.pk),
        content_type_id=get_content_type_for_model(model).pk,
        object_id=key,
        object_repr=name[:200],
        action_flag=flag,
        change_message=words,
    )


def _silence(request: HttpRequest) -> dict[str, Any]:
    """What keeps messages for the page that somebody loads, perhaps in another window."""
    return {"messages": ()} if LIVE_HEADER in request.headers else {}


class LiveResponse(TemplateResponse):
    """A page that asks Redis while it is rendered: if that fails, says so instead."""

    away: Callable[[Exception], dict[str, Any]]

    @property
    def rendered_content(self) -> str:
        """The page, or the one that says what is wrong."""
        try:
            return super().rendered_content
        except AWAY as error:
            self.status_code = 503
            return str(
                render_to_string(UNAVAILABLE, self.away(error), request=self._request)
            )


class LiveAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows from Redis. Nothing can be added, changed or deleted through forms."""

    actions: Any = None
    list_per_page = 50
    list_max_show_all = 200
    save_on_top = False

    class Media:
        css = {"all": ["redisjobs/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Rows; what one page asks for it reads once."""
        queryset: Any = super().get_queryset(request)
        shared: QuerySet[Any] = queryset.sharing(broad=IS_FACETS_VAR in request.GET)
        return shared

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Jobs come from code, workers from the command line."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        """What a job carries never changes."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        """Not through Django's collector, which looks for related SQL rows."""
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, or a page that says that Redis is away."""
        return self._live(request, super().changelist_view, request, extra_context)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """One row, or a page that says that Redis is away."""
        self._check_may_view(request)
        return self._live(request, super().changeform_view, request, *args, **kwargs)

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """What was done to a row, or a page that says that Redis is away."""
        self._check_may_view(request)
        return self._live(request, super().history_view, request, *args, **kwargs)

    def visible_row(self, request: HttpRequest, pk: str) -> Any:
        """The row with this key; None where there is none for who asks.

        Raises:
            PermissionDenied: they may not see this one, or none at all.
        """
        self._check_may_view(request)
        row = self.get_object(request, pk)
        if row is not None and not self.has_view_permission(request, row):
            raise PermissionDenied
        return row

    def _check_may_view(self, request: HttpRequest) -> None:
        # Django asks for the row first, and who may not see it would be told about Redis.
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _live(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponse],
        *args: Any,
        **kwargs: Any,
    ) -> HttpResponse:
        try:
            response = view(*args, **kwargs)
        except AWAY as error:
            return TemplateResponse(
                request, UNAVAILABLE, self._away_context(request, error), status=503
            )
        if type(response) is not TemplateResponse:
            return response
        context = {**(response.context_data or {}), **_silence(request)}
        live = LiveResponse(
            request, response.template_name, context, using=response.using
        )
        live.away = lambda error: self._away_context(request, error)
        return live

    def _away_context(self, request: HttpRequest, error: Exception) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            **_silence(request),
            "title": _("Redis cannot be asked now"),
            "opts": self.opts,
            "error": error,
        }
