"""Every error that a user of this package may meet.

``RedisJobsError`` is the root of all that calls raise. What is raised *into* a
running job (``JobTimeout``, ``JobInterrupted``) stands outside that tree, so that
``except RedisJobsError`` in a job never swallows it.
"""

from __future__ import annotations

from typing import Protocol

from django.core.exceptions import ImproperlyConfigured

from django_redisjobs.core.exceptions import (
    LeaseLost,
    NotAcknowledged,
    PayloadMalformed,
    PayloadNotSerializable,
    PayloadTooLarge,
    PayloadUnknown,
    RedisJobsError,
    SchemaMismatch,
    SignatureRejected,
)

__all__ = [
    "ConfigurationError",
    "DefinitionError",
    "DuplicateJobFunction",
    "EnqueueError",
    "FailedAttempt",
    "JobCancelled",
    "JobExpired",
    "JobFailed",
    "JobInterrupted",
    "JobNotFound",
    "JobTimeout",
    "LeaseLost",
    "MissingInstance",
    "NotAcknowledged",
    "NotDurable",
    "PayloadMalformed",
    "PayloadNotSerializable",
    "PayloadTooLarge",
    "PayloadUnknown",
    "RedisJobsError",
    "ResultTimeout",
    "SchemaMismatch",
    "ServerUnavailable",
    "SignatureRejected",
    "UnknownJobFunction",
    "UnknownQueue",
]


class ConfigurationError(RedisJobsError, ImproperlyConfigured):
    """The REDISJOBS setting is wrong, or this machine lacks what it asks for.

    Nothing was sent. The message names the key, its value and the choices; the
    same mistakes are reported by ``manage.py check``.
    """


class UnknownQueue(ConfigurationError):
    """A queue's name is not in REDISJOBS["QUEUES"].

    Add the queue there, or correct the name at the job or the call.
    """


class DefinitionError(RedisJobsError, TypeError):
    """``@job`` was given something that it cannot make a job function of.

    Raised at import. The message says which function or option, and what is
    possible instead.
    """


class DuplicateJobFunction(DefinitionError):
    """Two different functions claim one dotted path, so a worker could not tell
    which one to run. Rename one of them.
    """


class UnknownJobFunction(RedisJobsError, LookupError):
    """No job function of that dotted path is registered in this process.

    Check the spelling, and that its module is a ``jobs`` (or ``tasks``) module
    of an installed app, or is imported by one.
    """


class EnqueueError(RedisJobsError):
    """Redis refused the job or did not answer; the message names the server.

    When it was refused nothing was enqueued. When no answer came the jobs may have been
    enqueued, and a new ``delay`` could be a second one: ``job_ids`` names them, so that
    ``get_job(id).status()`` tells once Redis answers again. It is empty where a database
    refused them.
    """

    def __init__(self, message: str, job_ids: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.job_ids = job_ids


class NotDurable(EnqueueError):
    """Jobs are enqueued and will run, but are not as durable as ``DURABLE`` asks.

    The message says what is missing. Do not enqueue them again: that would be other
    jobs. ``job_ids`` names them. Those of an outbox stay there, and are sent until
    they are durable.
    """


class ServerUnavailable(RedisJobsError):
    """Redis could not be reached, or answered that it cannot serve now.

    Nothing was changed as far as is known. Try again later.
    """


class JobNotFound(RedisJobsError, LookupError):
    """Redis knows no job of that id.

    It never existed, its transaction has not committed yet, it was deleted, or
    it ended longer ago than REDISJOBS["KEEP"] says.
    """


class FailedAttempt(Protocol):
    """What ``JobFailed`` tells of the attempt that failed the job."""

    @property
    def number(self) -> int: ...
    @property
    def outcome(self) -> str: ...
    @property
    def exception_class(self) -> str | None: ...
    @property
    def message(self) -> str | None: ...
    @property
    def traceback(self) -> str | None: ...


class JobFailed(RedisJobsError):
    """``result()`` was asked of a job that has failed for good.

    ``attempt`` is its last attempt, ``traceback`` that attempt's text. Mend the
    cause, then ``handle.retry()`` runs it again.
    """

    def __init__(self, message: str, attempt: FailedAttempt | None = None) -> None:
        # Both go to ``args``, so that copying and pickling keep the attempt.
        super().__init__(message, attempt)
        self.message = message
        self.attempt = attempt

    @property
    def traceback(self) -> str:
        """The traceback of the last attempt; empty when it left none."""
        if self.attempt is None:
            return ""
        return self.attempt.traceback or ""

    def __str__(self) -> str:
        return f"{self.message}\n\n{self.traceback}" if self.traceback else self.message


class JobCancelled(RedisJobsError):
    """``result()`` was asked of a job that somebody cancelled. It has no result."""


class JobExpired(RedisJobsError):
    """``result()`` was asked of a job that nobody started before it expired."""


class ResultTimeout(RedisJobsError, TimeoutError):
    """The job had not ended within the time that the caller was ready to wait.

    The job goes on; ask again, or ``cancel()`` it.
    """


class MissingInstance(RedisJobsError, LookupError):
    """A model instance among a job's arguments is no longer in its database.

    The job fails without a retry. ``@job(on_missing="discard")`` drops such
    jobs instead.
    """


class JobTimeout(Exception):
    """Raised in a running job whose ``timeout`` is over.

    A job may catch it to tidy up; it has ten seconds before its process is
    killed. The attempt counts as failed and is retried like one. In a coroutine it is
    an ``asyncio.CancelledError``, too.
    """


class JobInterrupted(BaseException):
    """Raised in a running job that has to stop: it was cancelled, or its worker
    shuts down and runs out of patience.

    A BaseException, so that ``except Exception`` in a job does not swallow it.
    Let it pass after tidying up. ``reason`` is ``"cancel"`` or ``"shutdown"``. In a
    coroutine it is an ``asyncio.CancelledError``, too.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
