"""What the figures of this package are to be, row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .sizes import Figures

Round = Mapping[str, Figures]
"""Figures, as ``measure.figure``, by subject; this package's own under OWN."""

OWN = "django-redisjobs"


@dataclass(frozen=True)
class Row:
    """``value`` finds it in a round; None: it was not measured."""

    label: str
    value: Callable[[Round], float | None]
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f">= {number(self.at_least)} {self.unit}".rstrip()
        return f"<= {number(self.at_most or 0)} {self.unit}".rstrip()

    def met(self, value: float) -> bool:
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most is None or value <= self.at_most


def number(value: float) -> str:
    """With three digits that say something, and no fewer before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def own(name: str) -> Callable[[Round], float | None]:
    return lambda measured: measured[OWN].get(name)


def total(*names: str) -> Callable[[Round], float | None]:
    def value(measured: Round) -> float | None:
        found = [measured[OWN].get(name) for name in names]
        return None if None in found else sum(filter(None, found))

    return value


def cores(measure: str) -> Callable[[Round], float | None]:
    """How many the worker and the server keep busy."""
    names = (f"{measure}.worker_us", f"{measure}.server_us")

    def value(measured: Round) -> float | None:
        rate, spent = own(f"{measure}.jobs_s")(measured), total(*names)(measured)
        return None if rate is None or spent is None else rate * spent / 1e6

    return value


def ratio(over: str, under: str) -> Callable[[Round], float | None]:
    def value(measured: Round) -> float | None:
        figures = measured[OWN]
        if over not in figures or under not in figures:
            return None
        return figures[over] / figures[under]

    return value


def against_peers(
    name: str,
    *,
    only: str = "",
    but: Sequence[str] = (),
    best: Callable[[Sequence[float]], float] = max,
) -> Callable[[Round], float | None]:
    """Times the best peer of the same round; of those with a word in their names, and
    without any of others.
    """

    def value(measured: Round) -> float | None:
        theirs = [
            figures[name]
            for peer, figures in measured.items()
            if peer != OWN
            and name in figures
            and only in peer
            and not any(word in peer for word in but)
        ]
        if name not in measured[OWN] or not theirs:
            return None
        return measured[OWN][name] / best(theirs)

    return value


# As they are by default a job is out of Redis before it has run: a crash loses it.
UNACKNOWLEDGED = ("celery", "huey", "sidekiq")
NOT_PYTHON = ("bullmq", "sidekiq")

ROWS = (
    Row("no-op jobs, one process", own("one.jobs_s"), "/s", at_least=25_000),
    Row(
        "against the best Python peer, however it runs",
        against_peers("one.jobs_s", but=NOT_PYTHON),
        "×",
        at_least=6,
    ),
    Row(
        "against the best one that keeps results",
        against_peers("one.jobs_s", but=(*NOT_PYTHON, "no results")),
        "×",
    ),
    Row(
        "against Sidekiq",
        against_peers("one.jobs_s", only="sidekiq"),
        "×",
        at_least=2.5,
    ),
    Row("against BullMQ", against_peers("one.jobs_s", only="bullmq"), "×"),
    Row("the same, no results", own("one-no-results.jobs_s"), "/s", at_least=25_000),
    Row("two processes", own("two.jobs_s"), "/s"),
    Row("against one process", ratio("two.jobs_s", "one.jobs_s"), "×", at_least=1.5),
    Row("cores that they and the server keep busy", cores("two"), ""),
    Row("against the best peer's two", against_peers("two.jobs_s"), "×"),
    Row(
        "CPU a job, worker and server",
        total("one.worker_us", "one.server_us"),
        "µs",
        at_most=45,
    ),
    Row("of it the worker", own("one.worker_us"), "µs"),
    Row("round trips a job, busy", own("one.round_trips"), "", at_most=0.1),
    Row("delay()", own("enqueue.jobs_s"), "/s"),
    Row("against bare LPUSH", own("enqueue.of_lpush"), "×", at_least=0.7),
    Row(
        "against the best Python peer that acknowledges",
        against_peers("enqueue.of_lpush", but=(*NOT_PYTHON, *UNACKNOWLEDGED)),
        "×",
        at_least=1,
    ),
    Row("delay_many(), 1,000 a call", own("bulk.jobs_s"), "/s", at_least=90_000),
    Row("against the best peer's bulk", against_peers("bulk.jobs_s"), "×"),
    Row(
        "1,000 delay() in a transaction",
        own("transaction.jobs_s"),
        "/s",
        at_least=40_000,
    ),
    Row("latency, idle worker: p50", own("latency.p50_ms"), "ms", at_most=0.8),
    Row("against the quickest peer", against_peers("latency.p50_ms", best=min), "×"),
    Row("p99", own("latency.p99_ms"), "ms", at_most=5),
    Row("1,000 jobs due at once: p50 late", own("due.p50_ms"), "ms", at_most=40),
    Row("the last", own("due.last_ms"), "ms", at_most=120),
    Row("the first (none early)", own("due.first_ms"), "ms", at_least=0),
    Row("memory a pending job", own("memory.pending_bytes"), "B", at_most=200),
    Row("a kept finished job", own("memory.finished_bytes"), "B", at_most=480),
    Row("idle worker: commands", own("idle.commands_s"), "/s", at_most=0.5),
    Row("its CPU", own("idle.cpu_percent"), "%", at_most=0.2),
    Row("its RSS (largest process)", own("idle.rss_mb"), "MB"),
    Row(
        "against django-rq's",
        against_peers("idle.rss_mb", only="django-rq"),
        "×",
        at_most=1.2,
    ),
    Row("its PSS (all processes)", own("idle.pss_mb"), "MB"),
    Row(
        "rate with very many pending against few",
        ratio("deep.deep_s", "deep.shallow_s"),
        "×",
        at_least=0.95,
    ),
    Row(
        "100 threads sleeping 50 ms, of ideal",
        own("threads.of_ideal"),
        "×",
        at_least=0.97,
    ),
    Row(
        "100 coroutines sleeping 50 ms, of ideal",
        own("coroutines.of_ideal"),
        "×",
        at_least=0.97,
    ),
    Row(
        "2,000 coroutines sleeping 1 s, of ideal",
        own("many-coroutines.of_ideal"),
        "×",
        at_least=0.9,
    ),
    Row(
        "longest wait behind a job that sleeps 2 s",
        own("behind-sleeping.longest_ms"),
        "ms",
        at_most=50,
    ),
    Row(
        "behind one that holds the GIL for 2 s",
        own("behind-holding.longest_ms"),
        "ms",
        at_most=50,
    ),
    Row("no-op jobs, 1 ms from the server", own("far.jobs_s"), "/s", at_least=15_000),
    Row("its round trip", own("far.round_trip_ms"), "ms"),
)
