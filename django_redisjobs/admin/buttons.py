"""What may be done to the one job of a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import reverse

from django_redisjobs.admin.actions import ACTIONS, REMOVE, RETRY, Errand
from django_redisjobs.admin.pages import LiveAdmin
from django_redisjobs.core.records import JobStatus


@dataclass(frozen=True, slots=True)
class Button:
    """One thing that may be done now. ``tone``: "danger" for what destroys."""

    name: str
    text: Any
    tone: str = ""


def buttons(
    site: admin.AdminSite, request: HttpRequest, status: JobStatus
) -> Iterator[Button]:
    """What who asks may do to a job in this status."""
    for name, action in ACTIONS.items():
        if status in action.offered and action.is_permitted(site, request):
            yield Button(name, action.button, "danger" if action.destroys else "")


def act_view(
    model_admin: LiveAdmin, request: HttpRequest, object_id: str
) -> HttpResponse:
    """Do to one job what was clicked, after a question where it destroys something."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    action = ACTIONS.get(request.POST.get("action", ""))
    if action is None:
        raise Http404("There is no such action.")
    if not action.is_permitted(model_admin.admin_site, request):
        raise PermissionDenied
    job_id = unquote(object_id)
    site = model_admin.admin_site.name
    page = reverse("admin:redisjobs_job_change", args=[job_id], current_app=site)
    job = model_admin.visible_row(request, job_id)
    if job is None:
        # Which says so.
        return HttpResponseRedirect(page)
    repeats = action is RETRY and job.status == JobStatus.SUCCEEDED
    errand = Errand(
        model_admin,
        request,
        action,
        [(job.keys, [job.record] if job.record.status in action.offered else [])],
        asks=action.destroys or repeats,
        hidden=(("action", action.name),),
        back=page,
    )
    question = errand.run()
    if question is not None:
        return question
    if action is REMOVE:
        page = reverse("admin:redisjobs_job_changelist", current_app=site)
    return HttpResponseRedirect(page)
