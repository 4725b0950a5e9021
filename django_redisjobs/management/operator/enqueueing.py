"""``enqueue``: a job by its function's path, with arguments as JSON."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError

from django_redisjobs import registry
from django_redisjobs.management.operator.action import Action, Options
from django_redisjobs.management.operator.discovering import discover
from django_redisjobs.management.operator.formats import (
    read_duration,
    read_json,
    read_time,
)
from django_redisjobs.management.operator.terminal import Terminal


def _add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="PATH", help="The job function, such as shop.jobs.charge.")
    add(
        "arguments",
        nargs="*",
        type=read_json,
        metavar="ARG",
        help="Its arguments as JSON: 42, true, '[1, 2]'. What is no JSON is text; text "
        """that begins as JSON does is quoted: '"[urgent] hello"'.""",
    )
    add(
        "--kwargs",
        type=_read_kwargs,
        default={},
        metavar="JSON",
        help="""Its keyword arguments: '{"name": "value"}'.""",
    )
    add("--queue", metavar="QUEUE", help="Another queue than the function's own.")
    add("--priority", type=int, metavar="N", help="From -100 to 100; 100 runs first.")
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--in",
        dest="in_",
        type=read_duration,
        metavar="DURATION",
        help="Run it after so long: 90s, 5m, 1h.",
    )
    when.add_argument(
        "--at",
        type=read_time,
        metavar="TIME",
        help="Run it at that time: 18:00 or 2030-01-31T18:00.",
    )


def _run(terminal: Terminal, options: Options) -> None:
    discover(terminal)
    function = registry.load(options["path"])
    # At once: whoever types this is in no transaction that could roll back.
    chosen: dict[str, Any] = {"on_commit": False}
    for name in ("queue", "priority"):
        if options[name] is not None:
            chosen[name] = options[name]
    run_after = options["at"] if options["in_"] is None else options["in_"]
    if run_after is not None:
        chosen["run_after"] = run_after
    try:
        handle = function.using(**chosen).delay(
            *options["arguments"], **options["kwargs"]
        )
    except (TypeError, ValueError) as error:
        # Arguments or options that do not fit.
        raise CommandError(str(error)) from error
    if terminal.as_json:
        terminal.document(
            {"id": handle.id, "function": function.path, "queue": handle.queue}
        )
    elif terminal.verbosity > 0:
        terminal.line(
            f"{function.path} is job {handle.id} in queue {handle.queue}.",
            terminal.style.SUCCESS,
        )


def _read_kwargs(text: str) -> dict[str, Any]:
    value = read_json(text)
    if not isinstance(value, dict):
        raise ArgumentTypeError(f'{text!r} is no JSON object such as {{"name": 1}}.')
    return value


ENQUEUE = Action("Enqueue a job by its function's path.", _add_arguments, _run)
