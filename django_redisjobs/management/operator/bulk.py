"""``retry``, ``cancel``, ``delete`` and ``move``: named jobs, or all that match."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from django.core.management.base import CommandError

from django_redisjobs import conf, queries
from django_redisjobs.calls import ask
from django_redisjobs.core import operations
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import JobStatus
from django_redisjobs.core.scripts import Conversation
from django_redisjobs.exceptions import ServerUnavailable
from django_redisjobs.management.operator.action import Action, Options
from django_redisjobs.management.operator.formats import (
    counted,
    number,
    read_id,
    read_status,
)
from django_redisjobs.management.operator.groups import sort_by_group
from django_redisjobs.management.operator.selection import (
    add_filters,
    read_selection,
    warn_of_unknown,
)
from django_redisjobs.management.operator.terminal import Terminal
from django_redisjobs.queries import WAITING, Operation, move_to


@dataclass(frozen=True, slots=True)
class Bulk:
    """What is done to jobs, and the core's answers in words for people."""

    verb: str
    operation: Operation
    outcomes: Mapping[str, str]
    destroys_named: bool = False
    destroys_many: bool = False


def _retry(keys: GroupKeys, ids: Sequence[str]) -> Conversation[list[str]]:
    """Scheduled ones too: those run now instead of later."""
    words = yield from operations.retry_many(keys, ids)
    live = [job_id for job_id, word in zip(ids, words, strict=True) if word == "live"]
    promoted = dict(
        zip(live, (yield from operations.promote_many(keys, live)), strict=True)
    )
    return [
        "pending" if promoted.get(job_id) == "pending" else word
        for job_id, word in zip(ids, words, strict=True)
    ]


_RETRY = Bulk(
    "retry",
    replace(queries.RETRY, operate=_retry),
    {
        "pending": "pending again",
        "live": "unchanged: waiting or running already",
        "missing": "unknown",
    },
)
_CANCEL = Bulk(
    "cancel",
    queries.CANCEL,
    {
        "cancelled": "cancelled",
        "requested": "running: asked to stop",
        "ended": "unchanged: ended already",
        "missing": "unknown",
    },
    destroys_many=True,
)
_DELETE = Bulk(
    "delete",
    queries.DELETE,
    {
        "deleted": "deleted",
        "running": "unchanged: running, cancel it first",
        "waiting": "unchanged: run again by now",
        "missing": "unknown",
    },
    destroys_named=True,
    destroys_many=True,
)
_MOVED: Final = {
    "moved": "moved",
    "same": "unchanged: in that queue already",
    "running": "unchanged: running",
    "ended": "unchanged: ended already",
    "missing": "unknown",
}


def _add_arguments(
    parser: ArgumentParser,
    statuses: Sequence[JobStatus],
    *,
    may_destroy: bool = False,
) -> None:
    parser.add_argument(
        "ids", nargs="*", type=read_id, metavar="ID", help="The ids of jobs."
    )
    default = ", ".join(statuses)
    parser.add_argument(
        "--status",
        action="append",
        type=read_status,
        default=[],
        metavar="STATUS",
        help=f"All jobs of this status (default with other filters: {default}). May "
        "be given several times.",
    )
    add_filters(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        help="No filter: all jobs of these statuses.",
    )
    if may_destroy:
        parser.add_argument("--yes", action="store_true", help="Do not ask.")


def _add_move_arguments(parser: ArgumentParser) -> None:
    _add_arguments(parser, WAITING)
    parser.add_argument(
        "--to", required=True, metavar="QUEUE", help="The queue to move them to."
    )


def _run_retry(terminal: Terminal, options: Options) -> None:
    _run(terminal, options, _RETRY)


def _run_cancel(terminal: Terminal, options: Options) -> None:
    _run(terminal, options, _CANCEL)


def _run_delete(terminal: Terminal, options: Options) -> None:
    chosen = _DELETE
    if not options["ids"]:
        chosen = replace(chosen, operation=queries.deletion(options["status"]))
    _run(terminal, options, chosen)


def _run_move(terminal: Terminal, options: Options) -> None:
    target = options["to"]
    there = conf.keys_for(target)
    _run(terminal, options, Bulk("move", move_to(target), _MOVED), within=there)


def _run(
    terminal: Terminal,
    options: Options,
    bulk: Bulk,
    within: GroupKeys | None = None,
) -> None:
    """``within``: the only group whose jobs it can be done to."""
    chosen, named = _choose(options, bulk.operation.statuses, within)
    _check_groups(chosen, within)
    total = sum(map(len, chosen.values()))
    destroys = bulk.destroys_named if named else bulk.destroys_many
    if destroys and total:
        jobs = "this job" if total == 1 and named else counted(total, "job")
        terminal.confirm(f"{bulk.verb.title()} {jobs}?", yes=options["yes"])
    outcomes: list[tuple[str, str]] = []
    try:
        with terminal.progress(total) as show:
            for keys, ids in chosen.items():
                for first in range(0, len(ids), operations.CHUNK):
                    chunk = ids[first : first + operations.CHUNK]
                    outcomes += zip(
                        chunk, ask(bulk.operation.operate(keys, chunk)), strict=True
                    )
                    show(len(outcomes))
    except (KeyboardInterrupt, ServerUnavailable):
        terminal.notice(
            f"Only {number(len(outcomes))} of {counted(total, 'job')} were dealt with, "
            "and perhaps some more. The same command goes on with the others."
        )
        raise
    _tell(terminal, bulk, outcomes, named=named)
    if not total:
        warn_of_unknown(terminal, options["function"])


def _choose(
    options: Options, default: Sequence[JobStatus], within: GroupKeys | None
) -> tuple[dict[GroupKeys, list[str]], bool]:
    """The jobs by group, and whether they were named one by one. Ids that nobody knows
    are of no other group than ``within``.
    """
    named = list(dict.fromkeys(options["ids"]))
    filtered = any(options[name] for name in ("status", "queue", "function", "since"))
    if named and (filtered or options["all"]):
        others = "filters" if filtered else "--all"
        raise CommandError(f"Give ids or {others}, not both.")
    if not (named or filtered or options["all"]):
        statuses = " or ".join(options["status"] or default)
        raise CommandError(
            "Which jobs? Either name ids, or choose by --status, --queue, --function "
            f"or --since, or say --all for all that are {statuses}."
        )
    if named:
        return sort_by_group(named, within), True
    query = read_selection(options, options["status"] or default)
    return ask(query.chosen(query.statuses)), False


def _check_groups(
    chosen: Mapping[GroupKeys, Sequence[str]], within: GroupKeys | None
) -> None:
    for keys, ids in chosen.items():
        if within is not None and ids and keys != within:
            raise CommandError(
                f"{number(len(ids))} of these jobs are of group {keys.group!r}, and "
                f"the queue is of group {within.group!r}. Redis cannot move a job "
                "between groups in one step, and in two it could be lost or run "
                "twice. Choose a queue of the same group. Nothing was changed."
            )


def _tell(
    terminal: Terminal, bulk: Bulk, outcomes: Sequence[tuple[str, str]], *, named: bool
) -> None:
    tally = Counter(word for _, word in outcomes)
    if terminal.as_json:
        terminal.document(
            {
                "action": bulk.verb,
                "done": sum(tally[word] for word in bulk.operation.done),
                "outcomes": dict(tally),
                "jobs": [{"id": job_id, "outcome": word} for job_id, word in outcomes],
            }
        )
    elif named and len(outcomes) <= 20:
        for job_id, word in outcomes:
            paint = terminal.style.SUCCESS if word in bulk.operation.done else None
            terminal.line(f"{job_id}: {bulk.outcomes[word]}", paint)
    elif not outcomes:
        terminal.line("No jobs match.")
    else:
        for word, text in bulk.outcomes.items():
            if tally[word]:
                terminal.line(f"{number(tally[word])} {text}")
    undone = sum(
        count for word, count in tally.items() if word not in bulk.operation.done
    )
    if named and undone:
        raise CommandError(f"Unchanged: {undone} of {counted(len(outcomes), 'job')}.")


RETRY = Action(
    "Run ended or parked jobs again, and scheduled ones at once.",
    partial(_add_arguments, statuses=queries.RETRY.statuses),
    _run_retry,
)
CANCEL = Action(
    "End jobs that wait; have those that run interrupted.",
    partial(_add_arguments, statuses=queries.CANCEL.statuses, may_destroy=True),
    _run_cancel,
)
DELETE = Action(
    "Remove jobs that do not run, with all that is stored of them.",
    partial(_add_arguments, statuses=queries.DELETE.statuses, may_destroy=True),
    _run_delete,
)
MOVE = Action(
    "Put waiting jobs into another queue of their group.",
    _add_move_arguments,
    _run_move,
)
