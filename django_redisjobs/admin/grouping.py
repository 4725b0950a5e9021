"""Running again what failed of one function for one reason, from the overview."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import reverse

from django_redisjobs.admin.actions import RETRY, Errand, named, visible_jobs
from django_redisjobs.core.records import JobStatus
from django_redisjobs.monitoring.periods import Period, period_of
from django_redisjobs.monitoring.reading import take_failures

FAILED: Final = frozenset({JobStatus.FAILED})


def retry_group_view(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest
) -> HttpResponse:
    """Ask whether all of a group is to run again, and have it run.

    The address names the group: ``function``, ``reason`` and ``period``. They are those
    among the newest failures that the overview looks at.
    """
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not RETRY.is_permitted(model_admin.admin_site, request):
        raise PermissionDenied
    period = period_of(request.GET.get("period", ""))
    function, reason = (request.GET.get(name, "") for name in ("function", "reason"))
    chosen = named(_group(function, reason, period))
    site = model_admin.admin_site
    found = visible_jobs(site, request, chosen, FAILED)
    back = reverse(
        "admin:redisjobs_queue_changelist",
        query={"period": period.value},
        current_app=site.name,
    )
    errand = Errand(
        model_admin,
        request,
        RETRY,
        found,
        asks=True,
        hidden=(),
        back=back,
        about=f"{function}: {reason}",
    )
    return errand.run() or HttpResponseRedirect(back)


def _group(function: str, reason: str, period: Period) -> list[str]:
    return [
        failure.id
        for failure in take_failures(period).newest
        if (failure.function, failure.reason) == (function, reason)
    ]
