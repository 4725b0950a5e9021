"""What was counted while jobs ended: numbers that can be added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Outcomes of a time. ``run_ms`` and ``wait_ms`` are sums over all runs."""

    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    cancelled: int = 0
    crashed: int = 0
    expired: int = 0
    run_ms: int = 0
    wait_ms: int = 0

    @classmethod
    def total(cls, parts: Iterable[Tally]) -> Tally:
        """All of them together."""
        parts = list(parts)
        return cls(**{name: sum(getattr(one, name) for one in parts) for name in WORDS})

    @property
    def ended(self) -> int:
        """Jobs that succeeded or failed for good."""
        return self.succeeded + self.failed

    @property
    def runs(self) -> int:
        """Runs that came to an end of their own, those that are retried too."""
        return self.ended + self.retried

    @property
    def run_seconds(self) -> float | None:
        """How long a run took, on average; None without any."""
        return self.run_ms / self.runs / 1000 if self.runs else None

    @property
    def failed_share(self) -> float:
        """Of what ended, the part that failed: 0 to 1."""
        return self.failed / self.ended if self.ended else 0.0


WORDS = tuple(field.name for field in fields(Tally))
NOTHING = Tally()


def by_name(counters: Mapping[str, int], kind: str) -> dict[str, Tally]:
    """The tallies in one set of counters: of queues (``q``) or functions (``f``)."""
    found: dict[str, dict[str, int]] = {}
    for field, value in counters.items():
        of, _, rest = field.partition(":")
        name, _, word = rest.rpartition(":")
        if of == kind and word in WORDS:
            found.setdefault(name, {})[word] = value
    return {name: Tally(**words) for name, words in found.items()}
