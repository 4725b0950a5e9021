"""``ls``: jobs in a table, the newest first."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Final

from django_redisjobs.core.records import JobRecord, JobStatus
from django_redisjobs.management.operator.action import Action, Options
from django_redisjobs.management.operator.formats import (
    clock,
    counted,
    read_count,
    read_status,
    shortened,
)
from django_redisjobs.management.operator.selection import (
    add_filters,
    newest,
    read_selection,
    warn_of_unknown,
)
from django_redisjobs.management.operator.showing import error_of, summary
from django_redisjobs.management.operator.terminal import Cell, Column, Terminal
from django_redisjobs.queries import function_of, moment_of

LOOKED_AT: Final = 10_000
"""Jobs that one listing reads, about, at the most."""
_DEFAULT_LIMIT: Final = 25
_NARROW: Final = 60


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "statuses",
        nargs="*",
        type=read_status,
        metavar="STATUS",
        help=f"Only of this status (default: any): {', '.join(JobStatus)}.",
    )
    add_filters(parser)
    parser.add_argument(
        "--limit",
        type=read_count,
        default=_DEFAULT_LIMIT,
        metavar="N",
        help=f"Show so many at most (default: {_DEFAULT_LIMIT}).",
    )
    parser.add_argument(
        "--ids", action="store_true", help="Print nothing but ids, one a line."
    )


def _run(terminal: Terminal, options: Options) -> None:
    selection = read_selection(options, options["statuses"] or JobStatus)
    found = newest(selection, options["limit"], LOOKED_AT)
    if terminal.as_json:
        terminal.document(
            {"jobs": [summary(record) for record in found.records], "cut": found.cut}
        )
        return
    if options["ids"]:
        for record in found.records:
            terminal.line(record.id)
    else:
        _show(terminal, found.records)
    if not found.records:
        warn_of_unknown(terminal, options["function"])
    if found.cut:
        terminal.notice(
            f"Only a part was looked at ({counted(found.looked_at, 'job')}): there may "
            "be others. Choose a status, a queue or a time to see more."
        )


def _show(terminal: Terminal, records: Sequence[JobRecord]) -> None:
    if not records:
        terminal.line("No jobs.")
        return
    columns = [
        Column("id"),
        Column("status"),
        Column("queue"),
        Column("function"),
        Column("when"),
        Column("runs", right=True),
        Column("error"),
    ]
    width = max(_NARROW, terminal.size[0] - 100)
    terminal.table(columns, [_row(record, terminal, width) for record in records])


def _row(record: JobRecord, terminal: Terminal, width: int) -> list[Cell]:
    status: Cell = record.status.value
    if record.status in (JobStatus.FAILED, JobStatus.PARKED):
        status = (record.status.value, terminal.style.ERROR)
    is_due_later = record.status is JobStatus.SCHEDULED and record.due_ms
    when = f"due {clock(record.due_ms)}" if is_due_later else clock(moment_of(record))
    return [
        record.id,
        status,
        record.queue,
        function_of(record) or "(unreadable)",
        when,
        str(record.run),
        shortened(error_of(record), width),
    ]


LS = Action("List jobs, the newest first.", _add_arguments, _run)
