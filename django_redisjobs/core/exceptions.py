"""What the core raises. ``django_redisjobs.exceptions`` re-exports all of it."""

from __future__ import annotations


class RedisJobsError(Exception):
    """The root of every error of this package."""


def in_words(error: BaseException) -> str:
    """The class and the message of any exception, also of one that cannot be printed."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - __str__ is anybody's code
        text = ""
    return f"{name}: {text}" if text else name


def sentence(text: str) -> str:
    """What another program said, with a full stop unless it ends in a mark of its own."""
    text = text.rstrip(". ")
    return text if text.endswith(("?", "!")) else f"{text}."


class LeaseLost(RedisJobsError):
    """A worker's lease ended and others may hold its jobs now.

    Nothing that it held may be started any more. It registers under a new id.
    """


class NotAcknowledged(RedisJobsError):
    """Jobs are enqueued, but not as durably as was asked for."""


class PayloadNotSerializable(RedisJobsError, TypeError):
    """A value is of a type that jobs cannot carry. Nothing was enqueued."""


class PayloadTooLarge(RedisJobsError, ValueError):
    """Arguments or a result are over the size limit. Nothing was enqueued."""


class PayloadMalformed(RedisJobsError, ValueError):
    """Stored text cannot be decoded by this build."""


class PayloadUnknown(PayloadMalformed):
    """Stored text names what this build lacks: a newer one of this package or of the
    project wrote it, with a member of an Enum, a model or a database of its own, say.

    A job of that kind is not run. It waits, parked, for a worker that knows them.
    """


class SignatureRejected(RedisJobsError):
    """A stored job bears no signature of a key that is in ``SIGNING_KEYS``.

    It was not run. It waits, parked, for a worker that has its key.
    """


class SchemaMismatch(RedisJobsError):
    """Redis holds data that a later version of this package has changed.

    Nothing was taken. A worker waits, and says so, until it is replaced by that version;
    in a burst it ends.
    """

    def __init__(self, version: str, known: str) -> None:
        # Both go to ``args``, so that copying and pickling make the same again.
        super().__init__(version, known)

    def __str__(self) -> str:
        version, known = self.args
        return (
            f"The data in Redis is of version {version!r}; this build knows "
            f"{known}. Run a worker of the version that wrote it."
        )
