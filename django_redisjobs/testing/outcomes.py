"""What came of the jobs that a test ran, and when that is an error of the test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django_redisjobs.core.payload import parse_body
from django_redisjobs.core.records import JobStatus
from django_redisjobs.core.settlements import STATUS_AFTER, Settlement
from django_redisjobs.exceptions import PayloadMalformed
from django_redisjobs.serialization import codec, snapshot_codec

_WRONG = frozenset({JobStatus.SCHEDULED, JobStatus.FAILED, JobStatus.PARKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One attempt of one job.

    ``function`` is its dotted path; ``status`` the job's afterwards: ``scheduled`` if
    it is to be tried again; ``exception`` what was raised, None if nothing was.
    """

    id: str
    function: str
    queue: str
    attempt: int
    status: JobStatus
    exception: BaseException | None
    result_text: str | None = None

    def __repr__(self) -> str:
        # Instances as references: to look at it asks no database.
        text = self.result_text
        result = None if text is None else snapshot_codec.loads(text)
        return (
            f"Outcome(id={self.id!r}, function={self.function!r}, queue={self.queue!r}, "
            f"attempt={self.attempt}, status={self.status!r}, result={result!r}, "
            f"exception={self.exception!r})"
        )

    @property
    def result(self) -> Any:
        """What the function returned, as a handle would give it: sent and fetched."""
        return None if self.result_text is None else codec.loads(self.result_text)

    @classmethod
    def of(
        cls, settlements: Iterable[Settlement], exception: BaseException | None
    ) -> Outcome:
        """From what an attempt left to be settled."""
        (ended,) = [each for each in settlements if each.kind != "note"]
        return cls(
            id=ended.job.id,
            function=_function(ended),
            queue=ended.job.queue,
            attempt=ended.job.attempts + 1,
            status=STATUS_AFTER[ended.kind],
            exception=exception,
            result_text=ended.result,
        )


def raise_first(outcomes: Sequence[Outcome]) -> None:
    """Raise what the first job raised that did not come to a good end.

    Not what an attempt raised that was followed by a better one.
    """
    last = {each.id: each for each in outcomes}
    wrong = [each for each in last.values() if each.status in _WRONG and each.exception]
    if not wrong:
        return
    first, *others = wrong
    assert first.exception is not None
    note = f"{first.function} ({first.id}) is {first.status} after this"
    if others:
        names = ", ".join(sorted({each.function for each in others}))
        note += f", and {len(others)} other jobs did not succeed: {names}"
    first.exception.add_note(f"{note}.")
    raise first.exception


def _function(ended: Settlement) -> str:
    if ended.function:
        return ended.function
    try:
        return parse_body(ended.job.body).function
    except PayloadMalformed:
        return ""
