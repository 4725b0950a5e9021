"""What an audit says: what is broken, what is only worth a warning, how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

How = Literal[
    "place",
    "remove",
    "forget",
    "set_aside",
    "state",
    "result",
    "beside",
    "entry",
    "trim",
    "rescue",
    "lease",
    "rename",
    "persist",
    "expire",
    "recount",
    "announce",
    "pause",
]


@dataclass(frozen=True, slots=True)
class Mend:
    """How something is put right. ``subject``: a job's id, a worker's entry, a queue or
    a key; ``place``: such as ``failed:QUEUE``; ``fingerprint``: of the job as it was;
    ``by``: how much is added to a counter, None to count anew.
    """

    how: How
    subject: str
    place: str = ""
    fingerprint: bytes = b""
    by: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is broken. ``code`` says what kind, ``where`` names the key
    without its prefix or the job; ``mend`` is None when people have to see to it.
    """

    code: str
    where: str
    message: str
    mend: Mend | None = None

    @property
    def identity(self) -> tuple[str, ...]:
        """Two looks found the same if this is the same."""
        mend = self.mend
        return (self.code, self.where, *((mend.subject, mend.place) if mend else ()))


@dataclass(frozen=True, slots=True)
class Report:
    """``warnings`` are no faults of what is stored. ``jobs``: how many were seen."""

    broken: Sequence[Finding]
    warnings: Sequence[str]
    jobs: int
