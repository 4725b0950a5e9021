"""``Worker``: what ``runworker`` runs, for use from Python code."""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connections as database_connections

from django_redisjobs import conf, connections, registry
from django_redisjobs.calls import ask
from django_redisjobs.core import inspection
from django_redisjobs.core.texts import encodable
from django_redisjobs.durations import Duration, parse_duration
from django_redisjobs.exceptions import ServerUnavailable
from django_redisjobs.options import DECORATED
from django_redisjobs.versions import installed_version

from .inline import InlineWorker
from .logs import set_up
from .options import WorkerOptions, default_processes, parse_size
from .recording import recording
from .stations import Post, posts
from .supervisor import Supervisor

if TYPE_CHECKING:
    from .probes import Probes

logger = logging.getLogger("redisjobs.worker")


class Worker:
    """Runs jobs of these queues, in strict order, until told to stop.

    ``queues``: names, the most urgent first; None for all, as the settings order
    them. ``processes``: how many run jobs, by default one a CPU that the container may
    use; 0 runs everything in the calling process. ``threads`` and
    ``async_concurrency``: jobs that each of them runs at once, plain functions and
    coroutines. ``burst``: end when nothing can be claimed now. ``max_jobs`` and
    ``max_rss`` (bytes, or text such as "400M"): when a process is replaced by a new one.
    ``grace``: how long running jobs may go on at shutdown; ``overrun``: how long past
    its timeout a job's process is killed. Both are durations: seconds, or text.
    ``health`` ("host:port"): where HTTP health checks are answered; ``health_file``:
    a file that is written anew every two seconds while the worker is alive.

    Raises:
        UnknownQueue: a queue is not in the settings.
        TypeError: ``queues`` is text.
        ValueError: ``queues`` is empty; a number is out of range; a size, a duration or
            an address is none.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of its own, by keyword
        self,
        queues: Sequence[str] | None = None,
        *,
        processes: int | None = None,
        threads: int = 1,
        async_concurrency: int = 100,
        burst: bool = False,
        max_jobs: int | None = None,
        max_rss: int | str | None = None,
        grace: Duration = 25.0,
        overrun: Duration = 10.0,
        name: str | None = None,
        health: str | None = None,
        health_file: str | os.PathLike[str] | None = None,
        verbosity: int = 1,
    ) -> None:
        if isinstance(queues, str):
            # Text is a sequence, too: of letters.
            raise TypeError(f"queues is a list of names: write [{queues!r}].")
        names = tuple(conf.get_settings().queues if queues is None else queues)
        if not names:
            # A choice that happens to be empty does not mean all.
            raise ValueError("queues is empty: name one, or say None for all.")
        self._posts: list[Post] = posts(names)
        self._options = WorkerOptions(
            queues=names,
            processes=_processes(processes),
            threads=threads,
            async_concurrency=async_concurrency,
            burst=burst,
            max_jobs=max_jobs,
            max_rss=None if max_rss is None else parse_size(max_rss),
            grace=parse_duration(grace),
            overrun=parse_duration(overrun),
            # The shell's arguments may have bytes that are no text.
            name=encodable(name or f"{platform.node()}:{os.getpid()}"),
            verbosity=verbosity,
        )
        self._probes: Probes | None = None
        if health or health_file:
            # Only now: an HTTP server is not for those who answer no health checks.
            from .probes import make_probes

            self._probes = make_probes(health, health_file)
        self._inline: InlineWorker | None = None

    def run(self) -> None:
        """Work. Returns when a signal has ended it, or a burst is through.

        With processes it belongs into the main thread of a process that has no
        other: it takes over SIGTERM, SIGINT and SIGCHLD, and forks.

        Raises:
            ConfigurationError: health checks cannot be answered where they should be.
            ServerUnavailable: in a burst Redis was away for a whole lease.
            SchemaMismatch: for a burst the data is of a later version.
        """
        if self._probes is not None:
            self._probes.open()
        set_up(self._options.verbosity)
        registry.autodiscover()
        for function, reason in registry.misconfigured():
            # Who enqueues them will hear of it; their colleagues run as ever.
            logger.error("%s cannot be enqueued. %s", function.path, reason)
        for path in registry.decorated():
            logger.error("%s %s", path, DECORATED)
        with recording(conf.get_settings().log_lines):
            self._run()
        logger.info("Worker %s has stopped.", self._options.name)

    def _run(self) -> None:
        if self._options.burst:
            self._check_schema()
        if self._options.processes == 0:
            self._inline = InlineWorker(
                self._options, self._posts, self._info(), self._probes
            )
            self._inline.run(self._say_hello)
        else:
            self._supervise()
        if self._options.burst:
            # That version may have come meanwhile, and have ended it.
            self._check_schema()

    def _check_schema(self) -> None:
        """Who would wait for its replacement would never end a burst."""
        for post in self._posts:
            # For a Redis that is away a burst waits, too.
            with suppress(ServerUnavailable):
                ask(inspection.check_schema(post.keys))

    def _supervise(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "A worker with processes runs in the main thread only; choose "
                "processes=0 elsewhere."
            )
        # Nothing that is open may cross a fork.
        database_connections.close_all()
        connections.forget()
        Supervisor(self._options, self._posts, self._info(), self._probes).run(
            self._say_hello
        )

    def stop(self) -> None:
        """End a worker with ``processes=0`` from another thread, as SIGTERM does."""
        if self._inline is not None:
            self._inline.stop()

    def _say_hello(self) -> None:
        options = self._options
        how = (
            "in this process"
            if options.processes == 0
            else (f"{options.processes} process{'es' if options.processes > 1 else ''}")
        )
        if conf.get_settings().url.startswith("embedded:") and not settings.DEBUG:
            logger.warning(
                "embedded:// serves this machine only: workers and sites elsewhere do "
                "not see its jobs."
            )
        logger.info(
            "Worker %s: %s, %d thread%s each, queues %s, Redis at %s.",
            options.name,
            how,
            options.threads,
            "s" if options.threads > 1 else "",
            " > ".join(options.queues),
            connections.describe(),
        )
        if self._probes is not None:
            logger.info("Health: %s.", ", ".join(self._probes.places))

    def _info(self) -> dict[str, str]:
        """What every child registers of its worker."""
        options = self._options
        return {
            "name": options.name,
            "queues": " ".join(options.queues),
            "processes": str(options.processes),
            "threads": str(options.threads),
            "async_concurrency": str(options.async_concurrency),
            "groups": str(len(self._posts)),
            "worker_started_ms": str(time.time_ns() // 1_000_000),
            "version": installed_version(),
        }


def _processes(given: int | None) -> int:
    if connections.is_within_process():
        if given:
            raise ValueError(
                f"REDISJOBS['URL'] {connections.describe()} is within one process; "
                "choose processes=0."
            )
        return 0
    if not hasattr(os, "fork"):
        if given:
            raise ValueError("This system cannot fork; choose processes=0.")
        return 0
    return default_processes() if given is None else given
