"""The page on which what waits in a queue is deleted, after a question."""

from __future__ import annotations

from typing import Final

from django.contrib.admin.models import DELETION
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_redisjobs.admin.actions import AWAY_MEANWHILE
from django_redisjobs.admin.formats import number_text
from django_redisjobs.admin.pages import LiveAdmin, may
from django_redisjobs.admin.pausing import changed, queue_at
from django_redisjobs.exceptions import ServerUnavailable
from django_redisjobs.models import Queue as QueueModel
from django_redisjobs.queues import purge_part

PERMISSION: Final = "purge_queue"
PAGE: Final = "admin/redisjobs/queue/purge.html"
MOST: Final = 200_000
"""Jobs that one click deletes: a request has to end in time."""


def purge_view(model_admin: LiveAdmin, request: HttpRequest, name: str) -> HttpResponse:
    """Ask whether all that waits is to go, and delete it."""
    if not may(request, PERMISSION):
        raise PermissionDenied
    queue = queue_at(model_admin, request, name)
    if "confirmed" in request.POST:
        return _purge(model_admin, request, queue)
    request.current_app = model_admin.admin_site.name
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Purge %(queue)s") % {"queue": queue.name},
        "opts": model_admin.opts,
        "media": model_admin.media,
        "queue": queue,
        "total": queue.pending + queue.scheduled,
        "most": MOST,
    }
    return TemplateResponse(request, PAGE, context)


def _purge(
    model_admin: LiveAdmin, request: HttpRequest, queue: QueueModel
) -> HttpResponse:
    """Raises ServerUnavailable, when what is gone by then has been told."""
    purged, more = 0, True
    try:
        while more and purged < MOST:
            more, part = purge_part(queue.name)
            purged += part
    except ServerUnavailable:
        if purged:
            words = _words(queue.name, purged, str(AWAY_MEANWHILE))
            changed(model_admin, request, queue, words, DELETION)
        raise
    rest = _("More is left: do it again for the rest.") if more else ""
    words = _words(queue.name, purged, rest)
    return changed(model_admin, request, queue, words, DELETION)


def _words(queue: str, purged: int, rest: str) -> str:
    text = ngettext(
        "%(number)s job of %(queue)s is deleted.",
        "%(number)s jobs of %(queue)s are deleted.",
        purged,
    ) % {"number": number_text(purged), "queue": queue}
    return f"{text} {rest}" if rest else text
