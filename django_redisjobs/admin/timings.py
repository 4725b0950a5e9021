"""How long jobs waited and ran, as the overview shows it: percentiles over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from django_redisjobs.admin import charts
from django_redisjobs.admin.formats import NOTHING, duration, number_text
from django_redisjobs.monitoring.spreads import PERCENTILES, Spread, Timings

NAMES = tuple(f"p{percent}" for percent in PERCENTILES)


@dataclass(frozen=True, slots=True)
class Line:
    """One percentile: over all the time, and as a line."""

    name: str
    value: str
    curve: charts.Curve


@dataclass(frozen=True, slots=True)
class TimingChart:
    """Percentiles over time. ``rungs``: the scale from the top, (words, height).

    ``points``: (place, words) of each time; ``text`` is the whole in a sentence.
    """

    name: str
    lines: list[Line]
    rungs: list[tuple[str, str]]
    points: list[tuple[charts.Box, str]]
    text: str


def timing_charts(
    timings: Sequence[Timings], labels: Sequence[str]
) -> list[TimingChart]:
    """How long jobs waited, and how long they ran; ``labels`` say when."""
    waits, runs = [one.wait for one in timings], [one.run for one in timings]
    return [_chart(_("Wait"), waits, labels), _chart(_("Run"), runs, labels)]


def columns(timings: Timings) -> list[str]:
    """The percentiles of waits, then those of runs."""
    return [*words(timings.wait), *words(timings.run)]


def words(spread: Spread) -> list[str]:
    """Its percentiles as people read them."""
    return _worded(spread.percentiles())


def _worded(found: tuple[float, ...] | None) -> list[str]:
    return [NOTHING] * len(NAMES) if found is None else [duration(one) for one in found]


def _chart(name: str, spreads: Sequence[Spread], labels: Sequence[str]) -> TimingChart:
    found = [spread.percentiles() for spread in spreads]
    ladder = charts.Ladder.over(value for one in found if one for value in one)
    places = charts.places(len(spreads))
    values = words(Spread.added(spreads))
    return TimingChart(
        name,
        [
            Line(NAMES[which], values[which], _curve(found, which, ladder))
            for which in range(len(NAMES))
        ],
        [(_rung(seconds), height) for seconds, height in ladder.rungs()],
        [
            (place, f"{label}: {_listed(_worded(one))}")
            for place, label, one in zip(places, labels, found, strict=True)
        ],
        f"{name}: {_listed(values)}",
    )


def _curve(
    found: Sequence[tuple[float, ...] | None], which: int, ladder: charts.Ladder
) -> charts.Curve:
    shares = [None if one is None else ladder.share(one[which]) for one in found]
    return charts.curve(shares, 1)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(
        f"{name} {value}" for name, value in zip(NAMES, values, strict=True)
    )


def _rung(seconds: float) -> str:
    return f"{number_text(int(seconds))} s" if 1 <= seconds < 60 else duration(seconds)
