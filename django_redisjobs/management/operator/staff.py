"""``workers`` and ``stop``: who works, and asking them to end."""

from __future__ import annotations

import difflib
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from django_redisjobs.core.records import WorkerRecord
from django_redisjobs.management.operator.action import Action, Options
from django_redisjobs.management.operator.formats import (
    NOTHING,
    age,
    ago,
    counted,
    number,
)
from django_redisjobs.management.operator.groups import (
    all_workers,
    server_ms,
)
from django_redisjobs.management.operator.terminal import Cell, Column, Terminal
from django_redisjobs.monitoring.staff import tell_workers
from django_redisjobs.snapshots import iso


def _no_arguments(parser: ArgumentParser) -> None:
    """It shows them all."""


def _show(terminal: Terminal, options: Options) -> None:
    now_ms, workers = server_ms(), all_workers()
    if terminal.as_json:
        terminal.document(
            {"workers": [_worker_document(one, now_ms) for one in workers]}
        )
        return
    if not workers:
        terminal.line("No worker runs. Start one: manage.py runworker")
        return
    columns = [
        Column("worker"),
        Column("process id"),
        Column("host"),
        Column("pid", right=True),
        Column("queues"),
        Column("state"),
        Column("holds", right=True),
        Column("started"),
    ]
    terminal.table(columns, [_row(one, now_ms, terminal) for one in workers])


def _row(record: WorkerRecord, now_ms: int, terminal: Terminal) -> list[Cell]:
    info = record.info
    state: Cell = ("alive", terminal.style.SUCCESS)
    if not record.is_alive(now_ms):
        silent = age((now_ms - record.lease_ends_ms) / 1000)
        state = (f"dead, lease over for {silent}", terminal.style.ERROR)
    return [
        info.get("name") or NOTHING,
        record.id,
        info.get("host") or NOTHING,
        str(record.pid or NOTHING),
        " ".join(record.queues) or NOTHING,
        state,
        number(len(record.held)),
        ago(record.started_ms, now_ms),
    ]


def _worker_document(record: WorkerRecord, now_ms: int) -> dict[str, Any]:
    info = record.info
    return {
        "id": record.id,
        "name": info.get("name") or None,
        "host": info.get("host") or None,
        "pid": record.pid or None,
        "queues": record.queues,
        "alive": record.is_alive(now_ms),
        "lease_ends_at": iso(record.lease_ends_ms),
        "started_at": iso(record.started_ms),
        "version": record.version or None,
        "holds": list(record.held),
    }


def _add_stop_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "worker",
        nargs="?",
        metavar="WORKER",
        help="A worker's name, or the id of one of its processes.",
    )
    add("--all", action="store_true", help="All workers.")
    add(
        "--quiet",
        action="store_true",
        help="Let what runs end by itself, however long it takes.",
    )


def _stop(terminal: Terminal, options: Options) -> None:
    named = options["worker"]
    if bool(named) == options["all"]:
        raise CommandError("Name a worker, or say --all. See: redisjobs workers")
    message = "quiet" if options["quiet"] else "stop"
    told = tell_workers(named, message)
    if named and not told:
        told = tell_workers(_name_of(named), message)
        if not told:
            raise CommandError(f"{named} has ended by now.")
    chosen: dict[str, list[WorkerRecord]] = {}
    for record in told:
        chosen.setdefault(record.name, []).append(record)
    if terminal.as_json:
        terminal.document(
            {
                "message": message,
                "workers": [
                    {"name": name, "processes": [one.id for one in members]}
                    for name, members in chosen.items()
                ],
            }
        )
        return
    if not chosen:
        terminal.line("No worker runs.")
    for name, members in chosen.items():
        held = sum(len(one.held) for one in members)
        goes = f"It holds {counted(held, 'job')}." if held else "It holds no job."
        terminal.line(f"{name} was asked to {_WORDS[message]}. {goes}")


_WORDS = {"quiet": "end after its running jobs", "stop": "stop"}


def _name_of(process: str) -> str:
    """The name of the worker of which this is a process."""
    now_ms = server_ms()
    living = [one for one in all_workers() if one.is_alive(now_ms)]
    for record in living:
        if record.id == process:
            return record.name
    names = list(dict.fromkeys(record.name for record in living))
    near = difflib.get_close_matches(process, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    known = f" There are: {', '.join(names)}." if names else " No worker runs."
    raise CommandError(f"There is no living worker {process!r}.{hint}{known}")


WORKERS = Action("Show who works.", _no_arguments, _show)
STOP = Action("Ask workers to end.", _add_stop_arguments, _stop)
