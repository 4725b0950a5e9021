"""Workers: the page of all of them, that of one process, and what may be asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.models import CHANGE
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_redisjobs.admin.links import Links
from django_redisjobs.admin.pages import LIVE_HEADER, LiveAdmin, log_entry, may
from django_redisjobs.admin.staff import StaffPage, WorkerPage
from django_redisjobs.models import Worker
from django_redisjobs.monitoring.staff import (
    take_colleague,
    take_staff,
    tell,
    tell_workers,
)

PAGE: Final = "admin/redisjobs/worker/workers.html"
LIVE_PART: Final = "admin/redisjobs/worker/workers_live.html"
CONFIRM: Final = "admin/redisjobs/worker/confirm.html"
PERMISSION: Final = "control_worker"


@dataclass(frozen=True, slots=True)
class Request:
    """What may be asked of a worker: the message, the question, what is said after."""

    message: str
    button: Any
    question: Any
    said: Any


REQUESTS: Final = {
    each.message: each
    for each in (
        Request(
            "dump",
            _("Stack dump"),
            None,
            _("%(name)s was asked what its threads do. The answer comes below."),
        ),
        Request(
            "quiet",
            _("Quiet…"),
            _(
                "All processes of this worker claim nothing more, finish what they run "
                "however long that takes, and end."
            ),
            _("%(name)s was asked to end after its running jobs."),
        ),
        Request(
            "stop",
            _("Stop…"),
            _(
                "All processes of this worker claim nothing more and end. What runs has "
                "the grace that the worker was started with; then it is interrupted and "
                "goes back to its queue, uncounted."
            ),
            _("%(name)s was asked to stop."),
        ),
    )
}


class WorkerAdmin(LiveAdmin):
    """Workers that are registered now."""

    list_display = ("id",)
    ordering = ("host", "pid")
    fields = ("id", "host", "pid", "queues")

    def get_urls(self) -> list[URLPattern]:
        """The admin's pages of workers, and where the buttons lead."""
        view = self.admin_site.admin_view(self.control_view)
        own = path("<path:object_id>/control/", view, name="redisjobs_worker_control")
        return [own, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """All workers, or a page that says that Redis is away."""
        return self._live(request, self._staff, request, extra_context)

    def control_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask something of a worker, or a page that says that Redis is away."""
        return self._live(request, self._control, request, unquote(object_id))

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """All that is known of one process."""
        if isinstance(obj, Worker):
            links = Links(self.admin_site, request)
            context |= {
                "worker": WorkerPage(take_colleague(obj.record), links),
                "buttons": list(REQUESTS.values()) if may(request, PERMISSION) else [],
                "subtitle": None,
            }
        return super().render_change_form(
            request, context, add=add, change=change, form_url=form_url, obj=obj
        )

    def _staff(
        self, request: HttpRequest, extra_context: dict[str, Any] | None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Workers"),
            "opts": self.opts,
            "media": self.media,
            "page": StaffPage(take_staff(), Links(self.admin_site, request)),
            "buttons": (
                [REQUESTS["quiet"], REQUESTS["stop"]]
                if may(request, PERMISSION)
                else []
            ),
            **(extra_context or {}),
        }
        is_live = request.headers.get(LIVE_HEADER) == "rj-workers"
        request.current_app = self.admin_site.name
        return TemplateResponse(request, LIVE_PART if is_live else PAGE, context)

    def _control(self, request: HttpRequest, worker_id: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        asked = REQUESTS.get(request.POST.get("message", ""))
        if asked is None:
            raise Http404("Nobody can ask that of a worker.")
        if not may(request, PERMISSION):
            raise PermissionDenied
        worker = self.visible_row(request, worker_id)
        if worker is not None and asked.question and "confirmed" not in request.POST:
            return self._question(request, asked, worker)
        if worker is None or not self._tell(worker, asked):
            text = gettext("%(name)s is not there any more.") % {"name": worker_id}
            self.message_user(request, text, messages.WARNING)
            return HttpResponseRedirect(self._address("changelist"))
        name = worker_id if asked.question is None else worker.record.name
        self.message_user(request, str(asked.said) % {"name": name}, messages.SUCCESS)
        self._log(request, asked, worker)
        if asked.question is None:
            return HttpResponseRedirect(self._address("change", worker.pk))
        return HttpResponseRedirect(self._address("changelist"))

    def _tell(self, worker: Worker, asked: Request) -> bool:
        if asked.question is None:
            return tell(worker.pk, asked.message)
        told = tell_workers(worker.record.name, asked.message)
        # One that was not heard of lately reads it should it come back.
        return bool(told) or tell(worker.pk, asked.message)

    def _question(
        self, request: HttpRequest, asked: Request, worker: Worker
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Are you sure?"),
            "opts": self.opts,
            "media": self.media,
            "asked": asked,
            "name": worker.record.name,
            "back": self._address("changelist"),
        }
        return TemplateResponse(request, CONFIRM, context)

    def _log(self, request: HttpRequest, asked: Request, worker: Worker) -> None:
        words = str(asked.button).rstrip("…")
        name = worker.record.name
        log_entry(request, Worker, worker.pk, name, CHANGE, words).save()

    def _address(self, page: str, *args: str) -> str:
        site = self.admin_site.name
        return reverse(f"admin:redisjobs_worker_{page}", args=args, current_app=site)
