"""How the queues are, for programs: as JSON, and in the text format of Prometheus.

Open to who shows the token of ``REDISJOBS["STATS_TOKEN"]``, and to users who may see
queues in the admin.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_redisjobs import outbox
from django_redisjobs.conf import get_settings
from django_redisjobs.exceptions import ConfigurationError, ServerUnavailable
from django_redisjobs.monitoring import metrics as prometheus
from django_redisjobs.monitoring.documents import document
from django_redisjobs.monitoring.reading import take, take_day

View = Callable[[HttpRequest], HttpResponse]
PERMISSION = "redisjobs.view_queue"
SCHEME = "bearer "


def _guarded(view: View) -> View:
    """Refuse who may not know; say so when Redis cannot be asked."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        if refusal := _refusal(request):
            return refusal
        try:
            return view(request)
        except (ServerUnavailable, ConfigurationError) as error:
            return HttpResponse(f"{error}\n", "text/plain; charset=utf-8", 503)

    found: View = never_cache(require_safe(guarded))
    # LoginRequiredMiddleware would send who shows the token to a form.
    found.login_required = False  # type: ignore[attr-defined]
    return found


@_guarded
def stats(request: HttpRequest) -> HttpResponse:
    """Queues, workers and outboxes as they are; what ``redisjobs stats --json`` prints."""
    return JsonResponse(document(take(), outbox.waiting()))


@_guarded
def metrics(request: HttpRequest) -> HttpResponse:
    """The same, and what ended today, as Prometheus scrapes it."""
    text = prometheus.text(take_day(), outbox.waiting())
    return HttpResponse(text, prometheus.CONTENT_TYPE)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    # A project may do without Django's users.
    user: Any = getattr(request, "user", None)
    if _has_token(request) or (user is not None and user.has_perm(PERMISSION)):
        return None
    if user is not None and user.is_authenticated:
        text = f"You lack the permission {PERMISSION}.\n"
        return HttpResponse(text, "text/plain; charset=utf-8", 403)
    text = "Send the token of STATS_TOKEN: Authorization: Bearer …\n"
    return HttpResponse(
        text,
        "text/plain; charset=utf-8",
        401,
        headers={"WWW-Authenticate": 'Bearer realm="redisjobs"'},
    )


def _has_token(request: HttpRequest) -> bool:
    token = get_settings().stats_token
    given: str = request.headers.get("Authorization", "")
    if not token or not given.lower().startswith(SCHEME):
        return False
    return constant_time_compare(given[len(SCHEME) :].strip(), token)
