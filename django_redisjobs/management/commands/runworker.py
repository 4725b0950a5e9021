"""``manage.py runworker``: run jobs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import ERROR
from django.core.management.base import BaseCommand, CommandError

from django_redisjobs.durations import parse_duration
from django_redisjobs.exceptions import ConfigurationError, RedisJobsError
from django_redisjobs.management.reloading import Reloader, is_reloaded
from django_redisjobs.surroundings import place_problems, server_problems
from django_redisjobs.worker.options import parse_size
from django_redisjobs.worker.streams import drop_unwritten, flush_streams
from django_redisjobs.worker.worker import Worker

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(BaseCommand):
    """Exit status 0 after a shutdown or a burst; CommandError for wrong arguments, and where
    Redis was away for too long for a burst.
    """

    help = (
        "Runs background jobs until SIGTERM or Ctrl-C. Queues are served in strict "
        "order: a job of a later one runs only when the earlier ones are empty."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "queues",
            nargs="*",
            metavar="QUEUE",
            help="The queues to serve, the most urgent first (default: all, in the "
            "order of the settings).",
        )
        add = parser.add_argument
        add(
            "--processes",
            type=int,
            metavar="N",
            help="How many processes run jobs (default: one a CPU that the container "
            "may use). 0: everything in this process, for a debugger.",
        )
        add(
            "--threads",
            type=int,
            default=1,
            metavar="N",
            help="Jobs that each process runs at once in threads (default: 1).",
        )
        add(
            "--async-concurrency",
            type=int,
            default=100,
            metavar="N",
            help="Coroutine jobs that each process runs at once (default: 100).",
        )
        add(
            "--burst",
            action="store_true",
            help="End when nothing can be claimed now; with 1 if Redis does not answer.",
        )
        add(
            "--max-jobs",
            type=int,
            metavar="N",
            help="Replace a process by a new one after so many jobs.",
        )
        add(
            "--max-rss",
            type=_size,
            metavar="SIZE",
            help="Replace a process when it holds more memory, for example 400M.",
        )
        add(
            "--grace",
            type=_seconds,
            default=25.0,
            metavar="TIME",
            help="How long running jobs may go on at shutdown (default: 25, seconds).",
        )
        add("--name", metavar="NAME", help="A name for people (default: host:pid).")
        add(
            "--health",
            metavar="HOST:PORT",
            help="Answer HTTP health checks there, at /live and /ready.",
        )
        add(
            "--health-file",
            metavar="PATH",
            help="Write this file every two seconds while the worker is alive.",
        )
        add(
            "--reload",
            action="store_true",
            help="For development: begin anew when a file of the project changes.",
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        with _ending_on_sigterm():
            return super().execute(*args, **options)

    def handle(self, *_: Any, **options: Any) -> None:
        names = (
            "processes",
            "threads",
            "async_concurrency",
            "burst",
            "max_jobs",
            "max_rss",
            "grace",
            "name",
            "health",
            "health_file",
            "verbosity",
        )
        try:
            worker = Worker(
                options["queues"] or None, **{name: options[name] for name in names}
            )
        except (ConfigurationError, ValueError) as error:
            raise CommandError(str(error)) from error
        if options["reload"] and not is_reloaded():
            # What ends a process with a signal does not fit into an exit status.
            sys.exit(abs(Reloader(self.stderr.write).run()))
        self._look_around()
        try:
            worker.run()
        except RedisJobsError as error:
            raise CommandError(str(error)) from error
        finally:
            # Python flushes once more at its end, and where that fails the status is 120.
            drop_unwritten(flush_streams())

    def _look_around(self) -> None:
        """Say what puts jobs at risk; refuse only a server that cannot run them."""
        found = server_problems()
        if not settings.DEBUG:
            found = [*place_problems(), *found]
        for problem in found:
            if problem.is_silenced():
                continue
            text = f"{problem.id}: {problem.msg} {problem.hint}"
            if problem.level >= ERROR:
                raise CommandError(text)
            # As with all that a worker logs: who cannot be told is not told.
            with suppress(OSError):
                self.stderr.write(self.style.WARNING(text))


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Until the worker takes its signals, SIGTERM ends this process with 0: it has begun
    nothing. Of PID 1, the first process of a container, the kernel would drop it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # At once: whatever it is in, be it an import, needs no end in good order.
    before = signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        yield
    finally:
        # None: it was set by somebody else than Python.
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    try:
        return parse_duration(
            float(text) if text.replace(".", "", 1).isdigit() else text
        )
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
