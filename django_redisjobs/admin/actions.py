"""What may be done to the jobs that are ticked in the list, or to all that match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_redisjobs import conf, queries
from django_redisjobs.admin.queryset import RedisQuerySet
from django_redisjobs.admin.sources import job_row
from django_redisjobs.calls import ask
from django_redisjobs.core import inspection
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import JobRecord, JobStatus
from django_redisjobs.core.scripts import together
from django_redisjobs.queries import JobQuery, Operation

MOST: Final = 20_000
"""Jobs that one click changes: a request has to end in time."""
LOGGED_ONE_BY_ONE: Final = 100
"""Beyond that, the admin's log has one entry for all of them."""


@dataclass(frozen=True, slots=True)
class JobAction:
    """``outcomes``: the core's words, as parts of the sentence that is shown after.
    ``takes``: jobs in these statuses; others are left alone.
    """

    name: str
    label: Any
    operation: Operation
    takes: frozenset[JobStatus]
    outcomes: Mapping[str, Any]
    destroys: bool = False


_EVERY = frozenset(JobStatus)
_GONE = gettext_lazy("%d gone meanwhile")

RETRY = JobAction(
    "retry",
    gettext_lazy("Run again what failed, expired or was cancelled"),
    queries.RETRY,
    # To repeat what succeeded is never meant by a click on many.
    _EVERY - {JobStatus.SUCCEEDED},
    {
        "pending": gettext_lazy("%d retried"),
        "live": gettext_lazy("%d waiting or running already"),
        "missing": _GONE,
    },
)
RUN = JobAction(
    "run",
    gettext_lazy("Run scheduled jobs now"),
    queries.RUN_NOW,
    _EVERY,
    {
        "pending": gettext_lazy("%d made ready"),
        "unchanged": gettext_lazy("%d not scheduled"),
        "missing": _GONE,
    },
)
CANCEL = JobAction(
    "cancel",
    gettext_lazy("Cancel"),
    queries.CANCEL,
    _EVERY,
    {
        "cancelled": gettext_lazy("%d cancelled"),
        "requested": gettext_lazy("%d running and asked to stop"),
        "ended": gettext_lazy("%d ended already"),
        "missing": _GONE,
    },
    destroys=True,
)
REMOVE = JobAction(
    "remove",
    gettext_lazy("Delete"),
    queries.DELETE,
    _EVERY,
    {
        "deleted": gettext_lazy("%d deleted"),
        "running": gettext_lazy("%d running: cancel them first"),
        "missing": _GONE,
    },
    destroys=True,
)
ACTIONS: Final = {each.name: each for each in (RETRY, RUN, CANCEL, REMOVE)}


def as_admin_action(action: JobAction) -> Callable[..., HttpResponse | None]:
    """The function that Django's admin calls, for those who have the permission."""

    def perform(
        model_admin: admin.ModelAdmin[Any], request: HttpRequest, rows: RedisQuerySet
    ) -> HttpResponse | None:
        across = request.POST.get("select_across") == "1"
        chosen = _chosen(rows, action, across=across)
        if (action.destroys or across) and "confirmed" not in request.POST:
            return _confirm(model_admin, request, action, chosen, across=across)
        _act(model_admin, request, action, chosen)
        return None

    perform.__name__ = action.name
    decorate = admin.action(permissions=[action.name], description=action.label)
    decorated: Callable[..., HttpResponse | None] = decorate(perform)
    return decorated


Chosen = dict[GroupKeys, list[JobRecord]]


def _chosen(rows: RedisQuerySet, action: JobAction, *, across: bool) -> Chosen:
    """The jobs that are meant. All that match: also those that no page shows."""
    condition = rows.condition()
    groups = [conf.keys_for(queues[0]) for queues in conf.groups().values()]
    if across and "pk" not in condition.fixed:
        query = JobQuery(queues=tuple(condition.fixed.get("queue", ())))
        asked = condition.fixed.get("status", action.takes)
        ids = ask(
            query.chosen(
                [status for status in action.takes if status in asked],
                MOST,
                lambda record: condition.test(job_row(record)),
            )
        )
    else:
        named = [str(pk) for pk in condition.fixed.get("pk", ())]
        ids = dict.fromkeys(groups, named)
    reading = [inspection.jobs(keys, ids[keys], brief=True) for keys in ids]
    found = ask(together(reading))
    return {
        keys: [record for record in records if record.status in action.takes]
        for keys, records in zip(ids, found, strict=True)
    }


def _confirm(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    action: JobAction,
    chosen: Chosen,
    *,
    across: bool,
) -> HttpResponse:
    records = [record for part in chosen.values() for record in part]
    site = model_admin.admin_site
    request.current_app = site.name
    context = {
        **site.each_context(request),
        "title": _("Are you sure?"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "action": action,
        "total": len(records),
        "most": MOST if len(records) >= MOST else None,
        "statuses": sorted(Counter(record.status.value for record in records).items()),
        "across": across,
        "checkbox": ACTION_CHECKBOX_NAME,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
    }
    return TemplateResponse(request, "admin/redisjobs/confirm.html", context)


def _act(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    action: JobAction,
    chosen: Chosen,
) -> None:
    words: Counter[str] = Counter()
    changed: list[JobRecord] = []
    for keys, records in chosen.items():
        ids = [record.id for record in records]
        answers = ask(action.operation.operate(keys, ids))
        words.update(answers)
        changed += [
            record
            for record, word in zip(records, answers, strict=True)
            if word in action.operation.done
        ]
    parts = [
        str(text) % words[word] for word, text in action.outcomes.items() if words[word]
    ]
    text = ", ".join(parts) or _("There was nothing to do")
    all_done = bool(changed) and len(changed) == words.total()
    level = messages.SUCCESS if all_done else messages.WARNING
    model_admin.message_user(request, f"{text}.", level)
    _log(request, action, changed, text)


def _log(
    request: HttpRequest, action: JobAction, changed: list[JobRecord], text: str
) -> None:
    """Tell Django's admin log: each job of a few, many in one entry."""
    rows = [job_row(record) for record in changed[:LOGGED_ONE_BY_ONE]]
    if not rows:
        return
    few = len(changed) <= LOGGED_ONE_BY_ONE
    entries = [
        LogEntry(
            user_id=str(request.user.pk),
            content_type_id=get_content_type_for_model(row).pk,
            object_id=row.pk if few else None,
            object_repr=(str(row) if few else text)[:200],
            action_flag=DELETION if action is REMOVE else CHANGE,
            change_message=str(action.label) if few else text,
        )
        for row in (rows if few else rows[:1])
    ]
    LogEntry.objects.bulk_create(entries)
