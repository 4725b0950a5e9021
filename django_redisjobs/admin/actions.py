"""What may be done to jobs: to one on its page, to those that are ticked in the list,
or to all that match.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_redisjobs import conf, queries
from django_redisjobs.admin.formats import number_text, status_name
from django_redisjobs.admin.links import Links
from django_redisjobs.admin.pages import log_entry, may
from django_redisjobs.admin.queryset import RedisQuerySet
from django_redisjobs.admin.sources import job_row
from django_redisjobs.calls import ask
from django_redisjobs.core import lookup
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import ENDED, JobRecord, JobStatus
from django_redisjobs.exceptions import ServerUnavailable, UnknownQueue
from django_redisjobs.models import Job
from django_redisjobs.queries import PAGE, Chosen, JobQuery, Operation

MOST: Final = 20_000
"""Jobs that one click changes: a request has to end in time."""
LOOKED_THROUGH: Final = 50_000
"""Jobs that one click on all that match looks through, where no index answers."""
LOGGED_ONE_BY_ONE: Final = 100
"""Beyond that, the admin's log has one entry for all of them."""


CONFIRM: Final = "admin/redisjobs/confirm.html"
# By this name a question's form sends the statuses that it told of.
_SHOWN: Final = "shown"
_EVERY = frozenset(JobStatus)
_GONE = gettext_lazy("%d gone meanwhile")


@dataclass(frozen=True, slots=True)
class JobAction:
    """``outcomes``: the core's words, as parts of the sentence that is shown after.
    ``takes``: of many, jobs in these statuses; others are left alone. ``offered``: on
    the page of a job in these. Without an ``operation`` it asks for a queue, and moves.
    """

    name: str
    label: Any
    button: Any
    operation: Operation | None
    outcomes: Mapping[str, Any]
    offered: frozenset[JobStatus]
    takes: frozenset[JobStatus] = _EVERY
    destroys: bool = False

    def is_permitted(self, site: admin.AdminSite, request: HttpRequest) -> bool:
        """Whether who asks may see jobs and do this to them, as the site's model admin
        says, if it has one.
        """
        own = site.get_model_admin(Job) if site.is_registered(Job) else None
        says = getattr(own, f"has_{self.name}_permission", None)
        is_allowed = says(request) if says else may(request, self.permission)
        return bool(is_allowed) and Links(site, request).may_view(Job)

    @property
    def permission(self) -> str:
        """What it asks for. Django's own deletion is about rows of its database."""
        return "delete_job" if self.name == "remove" else f"{self.name}_job"


RETRY = JobAction(
    "retry",
    gettext_lazy("Run again what failed, expired or was cancelled"),
    gettext_lazy("Run again"),
    queries.RETRY,
    {
        "pending": gettext_lazy("%d retried"),
        "live": gettext_lazy("%d waiting or running already"),
        "missing": _GONE,
    },
    ENDED | {JobStatus.PARKED},
    # To repeat what succeeded is never meant by a click on many.
    takes=_EVERY - {JobStatus.SUCCEEDED},
)
RUN = JobAction(
    "run",
    gettext_lazy("Run scheduled jobs now"),
    gettext_lazy("Run now"),
    queries.RUN_NOW,
    {
        "pending": gettext_lazy("%d made ready"),
        "unchanged": gettext_lazy("%d not scheduled"),
        "missing": _GONE,
    },
    frozenset({JobStatus.SCHEDULED}),
)
CANCEL = JobAction(
    "cancel",
    gettext_lazy("Cancel"),
    gettext_lazy("Cancel"),
    queries.CANCEL,
    {
        "cancelled": gettext_lazy("%d cancelled"),
        "requested": gettext_lazy("%d running and asked to stop"),
        "ended": gettext_lazy("%d ended already"),
        "missing": _GONE,
    },
    _EVERY - ENDED,
    destroys=True,
)
MOVE = JobAction(
    "move",
    gettext_lazy("Move to another queue"),
    gettext_lazy("Move…"),
    None,
    {
        "moved": gettext_lazy("%d moved"),
        "same": gettext_lazy("%d there already"),
        "running": gettext_lazy("%d running"),
        "ended": gettext_lazy("%d ended already"),
        "elsewhere": gettext_lazy("%d of another group of queues: they stay"),
        "missing": _GONE,
    },
    frozenset(queries.WAITING),
)
REMOVE = JobAction(
    "remove",
    gettext_lazy("Delete"),
    gettext_lazy("Delete"),
    queries.DELETE,
    {
        "deleted": gettext_lazy("%d deleted"),
        "running": gettext_lazy("%d running: cancel them first"),
        "waiting": gettext_lazy("%d changed meanwhile: they stay"),
        "missing": _GONE,
    },
    _EVERY - {JobStatus.RUNNING},
    destroys=True,
)
ACTIONS: Final = {each.name: each for each in (RETRY, RUN, MOVE, CANCEL, REMOVE)}

AWAY_MEANWHILE: Final = gettext_lazy(
    "Then Redis could not be asked any more: do it again for the rest."
)

Fields = tuple[tuple[str, str], ...]
Part = tuple[GroupKeys, Sequence[JobRecord]]
"""Jobs of one group."""


class MoveForm(forms.Form):
    """To which of these queues."""

    queue = forms.ChoiceField(label=gettext_lazy("To the queue"))

    def __init__(self, queues: Iterable[str], data: Any = None) -> None:
        super().__init__(data)
        self.fields["queue"].choices = [  # type: ignore[attr-defined]
            (name, name) for name in queues
        ]


@dataclass(slots=True)
class Done:
    """What has come of an errand so far: the core's words, how many jobs were changed, and
    some of these.
    """

    words: Counter[str] = field(default_factory=Counter)
    changed: int = 0
    first: list[JobRecord] = field(default_factory=list)

    def add(
        self, operation: Operation, records: Sequence[JobRecord], answers: list[str]
    ) -> None:
        self.words.update(answers)
        for record, word in zip(records, answers, strict=True):
            if word in operation.done and word != "same":
                self.changed += 1
                if len(self.first) < LOGGED_ONE_BY_ONE:
                    self.first.append(record)


@dataclass(frozen=True, slots=True)
class Errand:
    """What somebody wants done to the jobs that were ``found``, by their groups, read
    page by page and once. ``asks``: only after a question, which says what they are
    ``about``; ``hidden``: what its form sends again; ``back``: where they go who think
    better of it; ``is_cut``: others may be meant that nobody looked at.
    """

    model_admin: admin.ModelAdmin[Any]
    request: HttpRequest
    action: JobAction
    found: Iterable[Part]
    asks: bool
    hidden: Fields
    back: str
    is_cut: bool = False
    about: str = ""

    def run(self) -> HttpResponse | None:
        """The question; or it is done, and the message says what came of it."""
        confirmed = "confirmed" in self.request.POST
        operation, words, form = self.action.operation, str(self.action.label), None
        within: GroupKeys | None = None
        if operation is None:
            queues = Links(self.model_admin.admin_site, self.request).queue_names()
            form = MoveForm(queues, self.request.POST if confirmed else None)
            if not form.is_valid():
                return self._question(form)
            queue = form.cleaned_data["queue"]
            operation, within = queries.move_to(queue), conf.keys_for(queue)
            words = _("Move to %(queue)s") % {"queue": queue}
        elif self.asks and not confirmed:
            return self._question(None)
        elif self.action is REMOVE and self._shown:
            operation = queries.deletion([JobStatus(each) for each in self._shown])
        self._act(operation, within, words)
        return None

    def _question(self, form: forms.Form | None) -> HttpResponse:
        statuses: Counter[str] = Counter()
        first: JobRecord | None = None
        for _keys, records in self.found:
            statuses.update(record.status.value for record in records)
            first = first or next(iter(records), None)
        total = statuses.total()
        site = self.model_admin.admin_site
        self.request.current_app = site.name
        context = {
            **site.each_context(self.request),
            "title": _("To which queue?") if form else _("Are you sure?"),
            "opts": self.model_admin.opts,
            "media": self.model_admin.media,
            "action": self.action,
            "about": self.about,
            "form": form,
            "total": total,
            "only": job_row(first) if first and total == 1 else None,
            "most": MOST if total >= MOST else None,
            "cut": self._cut,
            "statuses": [
                (status_name(status), number)
                for status, number in sorted(statuses.items())
            ],
            "hidden": (*self.hidden, *((_SHOWN, status) for status in statuses)),
            "back": self.back,
        }
        return TemplateResponse(self.request, CONFIRM, context)

    @property
    def _cut(self) -> str:
        if not self.is_cut:
            return ""
        return _(
            "Only %(looked_at)s jobs were looked through, and more may match. Narrow "
            "the filters to reach them."
        ) % {"looked_at": number_text(LOOKED_THROUGH)}

    def _act(self, operation: Operation, within: GroupKeys | None, label: str) -> None:
        done = Done()
        try:
            for keys, records in self.found:
                if within is not None and keys != within:
                    done.words["elsewhere"] += len(records)
                    continue
                ids = [record.id for record in records]
                done.add(operation, records, ask(operation.operate(keys, ids)))
        except ServerUnavailable:
            # What is done stays so, and somebody has to know of it.
            if done.changed:
                self._tell(done, label, str(AWAY_MEANWHILE))
            raise
        self._tell(done, label, self._cut)

    def _tell(self, done: Done, label: str, warning: str) -> None:
        """Say what was done, and note it in Django's admin log."""
        parts = [
            str(text) % done.words[word]
            for word, text in self.action.outcomes.items()
            if done.words[word]
        ]
        text = ", ".join(parts) or _("There was nothing to do")
        all_done = bool(done.changed) and done.changed == done.words.total()
        level = messages.SUCCESS if all_done and not warning else messages.WARNING
        self.model_admin.message_user(self.request, f"{text}.", level)
        if warning:
            self.model_admin.message_user(self.request, warning, messages.WARNING)
        self._log(done, text, label)

    @property
    def _shown(self) -> list[str]:
        """The statuses that the question told of."""
        known = frozenset(JobStatus)
        return [each for each in self.request.POST.getlist(_SHOWN) if each in known]

    def _log(self, done: Done, text: str, label: str) -> None:
        """Tell Django's admin log: each job of a few, many in one entry."""
        few = done.changed <= LOGGED_ONE_BY_ONE
        entries = [
            log_entry(
                self.request,
                Job,
                row.pk if few else None,
                str(row) if few else text,
                DELETION if self.action is REMOVE else CHANGE,
                label if few else text,
            )
            for row in map(job_row, done.first if few else done.first[:1])
        ]
        LogEntry.objects.bulk_create(entries)


def as_admin_action(action: JobAction) -> Callable[..., HttpResponse | None]:
    """The function that Django's admin calls, for those who have the permission."""

    def perform(
        model_admin: admin.ModelAdmin[Any], request: HttpRequest, rows: RedisQuerySet
    ) -> HttpResponse | None:
        across = request.POST.get("select_across") == "1"
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        hidden = (
            ("action", action.name),
            ("select_across", "1" if across else "0"),
            *((ACTION_CHECKBOX_NAME, pk) for pk in selected),
        )
        chosen, takes, is_cut = _chosen(rows, action, across=across)
        return Errand(
            model_admin,
            request,
            action,
            visible_jobs(model_admin.admin_site, request, chosen, takes),
            asks=action.destroys or across,
            hidden=hidden,
            back=reverse(
                "admin:redisjobs_job_changelist",
                current_app=model_admin.admin_site.name,
            ),
            is_cut=is_cut,
        ).run()

    perform.__name__ = action.name
    decorate = admin.action(permissions=[action.name], description=action.label)
    decorated: Callable[..., HttpResponse | None] = decorate(perform)
    return decorated


def _chosen(
    rows: RedisQuerySet, action: JobAction, *, across: bool
) -> tuple[Chosen, frozenset[JobStatus], bool]:
    """The jobs that are meant, if they are in one of these statuses, and whether there
    may be more that nobody looked at. All that match: also those that no page shows.
    """
    condition = rows.condition()
    if across and "pk" not in condition.fixed:
        span = rows.wanted().span
        query = JobQuery(
            queues=tuple(condition.fixed.get("queue", ())),
            since_ms=span.since_ms or 0,
            until_ms=span.until_ms or 0,
        )
        asked = condition.fixed.get("status", action.takes)
        # Not those for which there is nothing to do: they might be very many.
        search = query.search(
            [each for each in action.takes & action.offered if each in asked],
            MOST,
            lambda record: condition.test(job_row(record)),
            LOOKED_THROUGH,
        )
        try:
            ids, is_cut = ask(search)
        except UnknownQueue:
            # Whoever wrote the address by hand means no job.
            ids, is_cut = {}, False
        # Somebody may have run some again since.
        return ids, action.takes & frozenset(asked), is_cut
    # All that match are those that the list has. Of what was ticked the message says what
    # has changed since.
    pks = [row.pk for row in rows] if across else condition.fixed.get("pk", ())
    return named([str(pk) for pk in pks]), action.takes, False


def named(ids: Sequence[str]) -> Chosen:
    """These jobs, wherever they are."""
    return dict.fromkeys(conf.groups(), ids)


def visible_jobs(
    site: admin.AdminSite,
    request: HttpRequest,
    chosen: Chosen,
    statuses: frozenset[JobStatus],
) -> Iterator[Part]:
    """Those of these jobs that are in such a status and that the site's model admin lets
    who asks see, a page of records at a time: all together might be more than fits into
    memory.
    """
    # By what a subclass limits, not by the filters of the list: of what was ticked
    # there, the message says what has changed since.
    links = Links(site, request)
    for keys, ids in chosen.items():
        for start in range(0, len(ids), PAGE):
            part = ids[start : start + PAGE]
            records = ask(lookup.jobs(keys, part, brief=True))
            fitting = [record for record in records if record.status in statuses]
            yield keys, links.visible(Job, fitting)
