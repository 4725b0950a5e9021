"""``run``: one job, here and now, before the eyes of a person."""

from __future__ import annotations

import pdb  # noqa: T100  the person asks for it
import sys
from argparse import ArgumentParser
from contextlib import nullcontext, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING

import redis
from django.core.management.base import CommandError

from django_redisjobs.calls import ask, explain
from django_redisjobs.core import inspection, lookup
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import ENDED, JobRecord, JobStatus
from django_redisjobs.management.operator.action import Action, Options
from django_redisjobs.management.operator.discovering import discover
from django_redisjobs.management.operator.formats import age, clock, harmless, read_id
from django_redisjobs.management.operator.groups import find_job
from django_redisjobs.management.operator.showing import document, result_of
from django_redisjobs.management.operator.terminal import Terminal
from django_redisjobs.queries import function_of
from django_redisjobs.redaction import discreet
from django_redisjobs.vetting import obstacle
from django_redisjobs.worker.outcome import describe

if TYPE_CHECKING:
    from django_redisjobs.worker.foreground import Ran, Refusal


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", type=read_id, metavar="ID", help="The job's id.")
    parser.add_argument(
        "--pdb",
        action="store_true",
        help="Enter the debugger where the job raises; nobody else runs it meanwhile.",
    )
    parser.add_argument(
        "--yes", action="store_true", help="Do not ask before repeating a success."
    )


def _run(terminal: Terminal, options: Options) -> None:
    # No other action of the command needs what runs jobs.
    from django_redisjobs.worker.foreground import Refusal, run_here

    if options["pdb"] and terminal.as_json:
        raise CommandError("--pdb is for people, --json for programs: choose.")
    keys, record = find_job(options["id"])
    discover(terminal)
    _check_runnable(record)
    _check_repeat(terminal, record, yes=options["yes"])
    if not terminal.as_json:
        _announce(terminal, keys, record)
    # What the job prints must not get into the document.
    printing = redirect_stdout(sys.stderr) if terminal.as_json else nullcontext()
    examine = _debug if options["pdb"] else None
    try:
        with printing:
            again = record.status if record.status in ENDED else None
            ran = run_here(keys, record.id, again=again, examine=examine)
    except redis.RedisError as error:
        raise CommandError(explain(error)) from error
    if isinstance(ran, Refusal):
        raise CommandError(_refused(record.id, ran))
    after = ask(lookup.job(keys, record.id))
    _tell(terminal, ran, after or record)


def _check_runnable(record: JobRecord) -> None:
    """Raise CommandError for what a worker would only park."""
    reason = obstacle(record)
    if reason:
        raise CommandError(f"{reason} The job is as it was.")


def _check_repeat(terminal: Terminal, record: JobRecord, *, yes: bool) -> None:
    if record.status is JobStatus.SUCCEEDED:
        terminal.confirm(
            f"{function_of(record)} {record.id} has succeeded. Run it once more?",
            yes=yes,
        )


def _announce(terminal: Terminal, keys: GroupKeys, record: JobRecord) -> None:
    (counts,) = ask(inspection.counts(keys, [record.queue]))
    if counts.paused is not None:
        terminal.notice(f"Queue {record.queue} is paused. This job runs all the same.")
    terminal.line(
        f"{function_of(record)} {record.id} runs in this process, without a timeout. "
        "Ctrl-C puts it back."
    )


def _debug(error: BaseException) -> None:
    sys.stderr.write(describe(error).traceback)
    pdb.post_mortem(error.__traceback__)


def _refused(job_id: str, refusal: Refusal) -> str:
    if refusal.word == "running":
        return f"Job {job_id} runs already, in worker {refusal.detail}."
    if refusal.word == "missing":
        return f"Job {job_id} was deleted a moment ago."
    if refusal.word == "ended":
        return f"Job {job_id} has {refusal.detail} a moment ago."
    return "Redis does not know this process any more. The job is as it was."


def _tell(terminal: Terminal, ran: Ran, record: JobRecord) -> None:
    error = ran.error
    trace = ""
    if error is not None:
        hide = partial(discreet, body=record.shown_body)
        trace = describe(error, hide=hide).traceback
    if terminal.as_json:
        terminal.document(
            {
                **document(record),
                "outcome": "late" if ran.late else ran.outcome.kind,
                "seconds": round(ran.seconds, 3),
                "traceback": trace or None,
            }
        )
    else:
        for line in trace.rstrip().splitlines():
            terminal.line(harmless(line))
    took = age(ran.seconds)
    if ran.late:
        raise CommandError(
            f"It ended after {took}, but its lease was lost meanwhile: others run it "
            "again, and this outcome counts for nothing."
        )
    if ran.outcome.kind == "released":
        raise CommandError("It was interrupted and is back in its queue, uncounted.")
    if ran.outcome.kind != "succeeded":
        raise CommandError(f"{_end(ran)} after {took}.")
    if not terminal.as_json:
        result = result_of(record)
        what = f": {harmless(result)}" if result else "."
        terminal.line(f"It succeeded after {took}{what}", terminal.style.SUCCESS)


def _end(ran: Ran) -> str:
    if ran.outcome.kind == "retry":
        due_ms = ran.outcome.finished_ms + ran.outcome.delay_ms
        return f"It failed, and is retried at {clock(due_ms)}. It ended"
    words = {"failed": "It failed for good", "cancelled": "It was cancelled"}
    return words.get(ran.outcome.kind, f"It was {ran.outcome.kind}")


RUN = Action("Run one job in this process.", _add_arguments, _run)
