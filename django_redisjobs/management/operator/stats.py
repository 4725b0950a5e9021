"""``stats``: how the queues are, once or live."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Final

from django.core.management.base import CommandError

from django_redisjobs import connections, outbox
from django_redisjobs.core.records import JobStatus, QueueCounts
from django_redisjobs.management.operator.action import Action, Options
from django_redisjobs.management.operator.formats import (
    NOTHING,
    age,
    clock,
    counted,
    harmless,
    number,
    read_duration,
)
from django_redisjobs.management.operator.terminal import Cell, Column, Terminal
from django_redisjobs.management.operator.watch import watch
from django_redisjobs.monitoring.documents import document
from django_redisjobs.monitoring.reading import QueueView, Snapshot, take
from django_redisjobs.monitoring.spreads import PERCENTILES

_DEFAULT_SECONDS: Final = 2.0
_ALWAYS: Final = (
    JobStatus.RUNNING,
    JobStatus.SCHEDULED,
    JobStatus.FAILED,
    JobStatus.SUCCEEDED,
)
# Columns that are there only when there is something in them.
_SOMETIMES: Final = (JobStatus.PARKED, JobStatus.CANCELLED, JobStatus.EXPIRED)


def lines(snapshot: Snapshot, terminal: Terminal) -> Iterator[str]:
    """The table and what stands below it."""
    extra = [
        status
        for status in _SOMETIMES
        if any(getattr(view.counts, status.value) for view in snapshot.queues)
    ]
    statuses = (*_ALWAYS, *extra)
    columns = [
        Column("queue"),
        Column("pending", right=True),
        Column("oldest", right=True),
        *(Column(status.value, right=True) for status in statuses),
        Column("a minute", right=True),
    ]
    rows = [_row(view, statuses, terminal) for view in snapshot.queues]
    yield from terminal.table_lines(columns, rows)
    yield ""
    yield from _timings(snapshot, terminal)
    for view in snapshot.queues:
        if view.counts.paused is not None:
            yield terminal.style.WARNING(_pause(view.counts))
    yield _workers(snapshot, terminal)
    yield from _outboxes(terminal)
    yield f"Redis: {connections.describe()}"


def _row(
    view: QueueView, statuses: Sequence[JobStatus], terminal: Terminal
) -> list[Cell]:
    counts, style = view.counts, terminal.style
    name: Cell = counts.queue
    if counts.paused is not None:
        name = (f"{counts.queue} (paused)", style.WARNING)
    cells: list[Cell] = [name, number(counts.pending)]
    cells.append(age(view.oldest_seconds) if view.oldest_seconds else NOTHING)
    for status in statuses:
        count = getattr(counts, status.value)
        alarming = count and status in (JobStatus.FAILED, JobStatus.PARKED)
        cells.append((number(count), style.ERROR) if alarming else number(count))
    cells.append(f"{view.per_minute:,.0f}")
    return cells


def _timings(snapshot: Snapshot, terminal: Terminal) -> Iterator[str]:
    """How long jobs of the last hour waited and ran, where there were any."""
    rows: list[list[Cell]] = []
    for view in snapshot.queues:
        waited, ran = view.timings.wait.percentiles(), view.timings.run.percentiles()
        if waited and ran:
            runs = number(view.timings.run.total)
            rows.append([view.counts.queue, runs, *map(age, (*waited, *ran))])
    if not rows:
        return
    words = [f"{what} p{each}" for what in ("wait", "run") for each in PERCENTILES]
    columns = [
        Column("last hour"),
        *(Column(word, right=True) for word in ("runs", *words)),
    ]
    yield from terminal.table_lines(columns, rows)
    yield ""


def _pause(counts: QueueCounts) -> str:
    paused = counts.paused
    assert paused is not None
    text = f"{counts.queue} is paused since {clock(paused.since_ms)}"
    if paused.by:
        text += f" by {harmless(paused.by)}"
    text += f" until {clock(paused.until_ms)}" if paused.until_ms else " until resumed"
    return f"{text}: {harmless(paused.reason)}" if paused.reason else f"{text}."


def _workers(snapshot: Snapshot, terminal: Terminal) -> str:
    alive, silent = snapshot.alive, len(snapshot.silent)
    names = {one.name for one in alive}
    if not alive:
        text = terminal.style.ERROR("Workers: none.")
    else:
        text = f"Workers: {len(names)} ({counted(len(alive), 'process')})"
    if silent:
        text += terminal.style.WARNING(f" {silent} dead, to be rescued.")
    return text


def _outboxes(terminal: Terminal) -> Iterator[str]:
    for one in outbox.waiting():
        if one.trouble:
            yield terminal.style.ERROR(
                f"Outbox of {one.alias}: {harmless(one.trouble)}"
            )
        elif one.jobs:
            text = f"Outbox of {one.alias}: {counted(one.jobs, 'job')}"
            yield terminal.style.WARNING(
                f"{text}, the oldest for {age(one.oldest_seconds)}."
            )


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--watch",
        nargs="?",
        type=read_duration,
        const=_DEFAULT_SECONDS,
        metavar="SECONDS",
        help=f"Show it again and again, every so often (default: "
        f"{_DEFAULT_SECONDS:g}), until Ctrl-C.",
    )


def _run(terminal: Terminal, options: Options) -> None:
    seconds = options["watch"]
    if seconds is None:
        snapshot = take()
        if terminal.as_json:
            terminal.document(document(snapshot, outbox.waiting()))
        else:
            for line in lines(snapshot, terminal):
                terminal.line(line)
        return
    if terminal.as_json:
        raise CommandError("--watch is for people, --json gives one document: choose.")
    watch(terminal, lambda: list(lines(take(), terminal)), max(0.1, seconds))


STATS = Action("Show the queues and workers, once or live.", _add_arguments, _run)
