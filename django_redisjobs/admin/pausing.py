"""The page on which a queue is paused, and let go on."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_redisjobs.admin.pages import LiveAdmin, log_entry, may
from django_redisjobs.durations import parse_duration
from django_redisjobs.models import Queue as QueueModel
from django_redisjobs.queues import Queue

PERMISSION = "pause_queue"
PAGE = "admin/redisjobs/queue/pause.html"


class PauseForm(forms.Form):
    """Why a queue is paused, and for how long."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("Shown wherever the queue is shown."),
    )
    length = forms.CharField(
        label=gettext_lazy("For how long"),
        max_length=20,
        required=False,
        help_text=gettext_lazy("10m, 1h, 2d; then it goes on by itself. Or nothing."),
    )

    def clean_length(self) -> float | None:
        """Seconds; None to pause until somebody resumes."""
        text: str = self.cleaned_data["length"]
        if not text:
            return None
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        if seconds <= 0:
            raise forms.ValidationError(_("Longer than nothing."))
        return seconds


def pause_view(model_admin: LiveAdmin, request: HttpRequest, name: str) -> HttpResponse:
    """Ask why and for how long, and pause; or let go on what is paused."""
    if not may(request, PERMISSION):
        raise PermissionDenied
    queue = queue_at(model_admin, request, name)
    form = PauseForm(request.POST if "pause" in request.POST else None)
    if "resume" in request.POST:
        return changed(model_admin, request, queue, _resume(queue.name))
    if form.is_valid():
        words = _pause(queue.name, request, **form.cleaned_data)
        return changed(model_admin, request, queue, words)
    request.current_app = model_admin.admin_site.name
    context = {
        **model_admin.admin_site.each_context(request),
        "title": (_("Resume %(queue)s") if queue.paused else _("Pause %(queue)s"))
        % {"queue": queue.name},
        "opts": model_admin.opts,
        "media": model_admin.media + form.media,
        "queue": queue,
        "form": form,
    }
    return TemplateResponse(request, PAGE, context)


def queue_at(model_admin: LiveAdmin, request: HttpRequest, name: str) -> QueueModel:
    """The queue that an address names. Raises Http404 where there is none for who asks,
    and PermissionDenied.
    """
    row: QueueModel | None = model_admin.visible_row(request, unquote(name))
    if row is None:
        raise Http404(f"There is no queue {name!r}.")
    return row


def _pause(
    queue: str, request: HttpRequest, *, reason: str, length: float | None
) -> str:
    Queue(queue).pause(reason, str(request.user.get_username()), length)
    return _("%(queue)s is paused: no more job of it starts.") % {"queue": queue}


def _resume(queue: str) -> str:
    was_paused = Queue(queue).resume()
    words = _("%(queue)s goes on.") if was_paused else _("%(queue)s was not paused.")
    return words % {"queue": queue}


def changed(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    queue: QueueModel,
    words: str,
    flag: int = CHANGE,
) -> HttpResponse:
    """Say what was done to a queue, note it in the admin's log, and lead back."""
    model_admin.message_user(request, words, messages.SUCCESS)
    log_entry(request, QueueModel, queue.name, queue.name, flag, words).save()
    site = model_admin.admin_site.name
    return HttpResponseRedirect(
        reverse("admin:redisjobs_queue_changelist", current_app=site)
    )
