"""What a worker tells people: one line an event, fields for machines in ``extra``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from django_redisjobs.core.settlements import Claimed

    from .outcome import Description, Verdict

worker_logger = logging.getLogger("redisjobs.worker")
job_logger = logging.getLogger("redisjobs.job")

_LISTED: Final = 10
_LEVELS = {
    # verbosity: what the worker says, what is said of jobs
    0: (logging.WARNING, logging.ERROR),
    1: (logging.INFO, logging.WARNING),
    2: (logging.INFO, logging.INFO),
    3: (logging.DEBUG, logging.DEBUG),
}


def set_up(verbosity: int) -> None:
    """Log to standard error, unless the project has configured the loggers itself."""
    root = logging.getLogger("redisjobs")
    if not root.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        root.addHandler(handler)
        root.propagate = False
    if root.level == logging.NOTSET:
        for_worker, for_jobs = _LEVELS[max(0, min(3, verbosity))]
        for logger, level in ((worker_logger, for_worker), (job_logger, for_jobs)):
            if logger.level == logging.NOTSET:
                logger.setLevel(level)


class JobLog:
    """The lines about jobs. Asks the logger once, so that silence costs nothing."""

    def __init__(self, worker_name: str) -> None:
        self._worker = worker_name
        self.tells_success = job_logger.isEnabledFor(logging.INFO)

    def succeeded(self, job: Claimed, function: str, seconds: float) -> None:
        job_logger.info(
            "✓ %s %s in %s",
            function,
            job.id,
            duration(seconds),
            extra=self._extra(job, function),
        )

    def ended(
        self,
        job: Claimed,
        function: str,
        verdict: Verdict,
        what: Description,
        most: int,
    ) -> None:
        """Everything but a success. ``most``: retries that the job has in all."""
        extra = self._extra(job, function)
        if verdict.kind == "retry":
            job_logger.warning(
                "↻ %s %s: retry %d/%d in %s: %s",
                function,
                job.id,
                job.attempts + 1,
                most,
                duration(verdict.delay_seconds),
                _first_line(what.line),
                extra=extra,
            )
        elif verdict.kind == "failed":
            text = f"\n{what.traceback.rstrip()}" if what.traceback else ""
            job_logger.error(
                "✗ %s %s failed: %s%s",
                function,
                job.id,
                _first_line(what.line),
                text,
                extra=extra,
            )
        else:
            self._set_aside(job, function, verdict, what)

    def late(self, job_token: str) -> None:
        """Redis refused an outcome: the job was taken away meanwhile."""
        job_logger.warning(
            "⚠ The outcome of attempt %s came too late and was dropped: its lease had "
            "ended, or somebody else has ended the job.",
            job_token,
        )

    def _set_aside(
        self, job: Claimed, function: str, verdict: Verdict, what: Description
    ) -> None:
        words = {
            "cancelled": "⊘ %s %s cancelled: %s",
            "parked": "⏸ %s %s parked: %s",
            "released": "↩ %s %s goes back to its queue: %s",
        }
        job_logger.warning(
            words[verdict.kind],
            function or "a job",
            job.id,
            _first_line(what.line),
            extra=self._extra(job, function),
        )

    def _extra(self, job: Claimed, function: str) -> dict[str, Any]:
        return {
            "job_id": job.id,
            "function": function,
            "queue": job.queue,
            "attempt": job.attempts + 1,
            "worker": self._worker,
        }


def listed(ids: Sequence[str]) -> str:
    """The first ids, and how many more there are: a line stays one that people read."""
    more = len(ids) - _LISTED
    shown = ", ".join(ids[:_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown


def duration(seconds: float) -> str:
    """A time span as people say it."""
    if seconds < 0.0995:
        return (
            f"{seconds * 1000:.1f} ms"
            if seconds < 0.00995
            else f"{seconds * 1000:.0f} ms"
        )
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
