"""``pause``, ``resume`` and ``purge``: whole queues."""

from __future__ import annotations

import getpass
import platform
from argparse import ArgumentParser

from django.core.management.base import CommandError

from django_redisjobs import conf
from django_redisjobs.exceptions import ServerUnavailable
from django_redisjobs.management.operator.action import Action, Options
from django_redisjobs.management.operator.formats import (
    age,
    clock,
    counted,
    number,
    read_duration,
    read_time,
)
from django_redisjobs.management.operator.groups import groups_with_queues
from django_redisjobs.management.operator.terminal import Terminal
from django_redisjobs.queues import Queue, get_queue, purge_part
from django_redisjobs.snapshots import iso


def _name_queue(parser: ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE", help="The name of the queue.")


def _find_queue(options: Options) -> Queue:
    """Of all that the settings or Redis have. Raises UnknownQueue."""
    name = options["queue"]
    if name not in conf.get_settings().queues and any(
        name in names for _, names in groups_with_queues()
    ):
        return Queue(name)
    return get_queue(name)


def _add_pause_arguments(parser: ArgumentParser) -> None:
    _name_queue(parser)
    parser.add_argument(
        "--reason", default="", help="Why: shown wherever the queue is shown."
    )
    parser.add_argument(
        "--by", metavar="WHO", help="Who (default: this user of this machine)."
    )
    until = parser.add_mutually_exclusive_group()
    until.add_argument(
        "--for",
        dest="for_",
        type=read_duration,
        metavar="DURATION",
        help="Resume by itself after so long: 90s, 10m, 1h.",
    )
    until.add_argument(
        "--until",
        type=read_time,
        metavar="TIME",
        help="Resume by itself at that time: 18:00 or 2030-01-31T18:00.",
    )


def _pause(terminal: Terminal, options: Options) -> None:
    queue = _find_queue(options)
    by = options["by"] if options["by"] is not None else _who()
    try:
        queue.pause(options["reason"], by, options["for_"], options["until"])
    except ValueError as error:
        raise CommandError(str(error)) from error
    counts = queue.counts()
    paused = counts.paused
    until_ms = paused.until_ms if paused else 0
    if terminal.as_json:
        terminal.document(
            {
                "queue": queue.name,
                "paused": paused is not None,
                "until": iso(until_ms),
                "pending": counts.pending,
                "running": counts.running,
            }
        )
        return
    length = f" ({age(options['for_'])})" if options["for_"] is not None else ""
    until = f"until {clock(until_ms)}{length}" if until_ms else "until resumed"
    terminal.line(
        f"{queue.name} is paused {until}: no more job of it starts. "
        f"{number(counts.running)} running go on, {number(counts.pending)} wait.",
        terminal.style.SUCCESS,
    )


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container's user need not have a name.
        user = "somebody"
    return f"{user}@{platform.node()}"


def _resume(terminal: Terminal, options: Options) -> None:
    queue = _find_queue(options)
    resumed = queue.resume()
    if terminal.as_json:
        terminal.document({"queue": queue.name, "resumed": resumed})
    elif resumed:
        terminal.line(f"{queue.name} goes on.", terminal.style.SUCCESS)
    else:
        terminal.line(f"{queue.name} was not paused.")


def _add_purge_arguments(parser: ArgumentParser) -> None:
    _name_queue(parser)
    parser.add_argument("--yes", action="store_true", help="Do not ask.")


def _purge(terminal: Terminal, options: Options) -> None:
    queue = _find_queue(options)
    counts = queue.counts()
    if counts.pending or counts.scheduled:
        terminal.confirm(
            f"Delete {number(counts.pending)} pending and "
            f"{counted(counts.scheduled, 'scheduled job')} of {queue.name} for ever?",
            yes=options["yes"],
        )
    purged, more = 0, True
    try:
        with terminal.progress(counts.pending + counts.scheduled) as show:
            while more:
                more, part = purge_part(queue.name)
                purged += part
                show(purged)
    except (KeyboardInterrupt, ServerUnavailable):
        terminal.notice(
            f"Only {counted(purged, 'job')} of {queue.name} deleted, and perhaps some "
            "more. The same command goes on with the others."
        )
        raise
    if terminal.as_json:
        terminal.document({"queue": queue.name, "deleted": purged})
    else:
        terminal.line(
            f"{counted(purged, 'job')} of {queue.name} deleted.",
            terminal.style.SUCCESS,
        )


PAUSE = Action("Let no more job of a queue start.", _add_pause_arguments, _pause)
RESUME = Action("Let the jobs of a paused queue start again.", _name_queue, _resume)
PURGE = Action(
    "Delete what waits in a queue, pending and scheduled.",
    _add_purge_arguments,
    _purge,
)
