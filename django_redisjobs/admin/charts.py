"""Charts as shapes for SVG: where each bar and line is. Pure: no Redis, no request.

A chart fills its box whatever the box's size, so coordinates are in its own units:
``WIDTH`` by ``HEIGHT``, the origin at the top left. They are text already, because
templates would write numbers as people of some languages do, which SVG cannot read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 1000
HEIGHT: Final = 100
GAP: Final = 0.2
"""Of a bar's place, the part that stays empty."""
LEAST: Final = 1.5
"""What is not nothing is at least this high."""
RUNGS: Final = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3_600, 86_400, 864_000)
"""Lengths of time, in seconds, that people think in."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One place on the time axis: what failed stands below what succeeded."""

    place: Box
    succeeded: Box | None
    failed: Box | None


@dataclass(frozen=True, slots=True)
class Curve:
    """A line, in pieces where values are missing, and the area below each piece."""

    lines: tuple[str, ...]
    areas: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ladder:
    """A scale for lengths of time, be they milliseconds or days.

    It has some of ``RUNGS``, evenly apart; between two of them it is logarithmic.
    """

    lowest: int
    highest: int

    @classmethod
    def over(cls, seconds: Iterable[float]) -> Ladder:
        """The shortest one on which all of these have a place."""
        heights = [_height(value) for value in seconds] or [0.0]
        lowest = min(math.floor(min(heights)), len(RUNGS) - 2)
        return cls(lowest, max(lowest + 1, math.ceil(max(heights))))

    def share(self, seconds: float) -> float:
        """How far up it is: 0 to 1."""
        above = _height(seconds) - self.lowest
        return min(1.0, max(0.0, above / (self.highest - self.lowest)))

    def rungs(self) -> Iterator[tuple[float, str]]:
        """(seconds, y) of each, from the top."""
        for place in range(self.highest, self.lowest - 1, -1):
            seconds = RUNGS[place]
            yield seconds, _text(HEIGHT - self.share(seconds) * HEIGHT)


def _height(seconds: float) -> float:
    """On which rung of all it is, or how far between two."""
    below = sum(rung <= seconds for rung in RUNGS) - 1
    if below < 0:
        return 0.0
    if below == len(RUNGS) - 1:
        return float(below)
    return below + math.log(seconds / RUNGS[below], RUNGS[below + 1] / RUNGS[below])


def rounded_up(most: float) -> float:
    """A round number not below ``most``, whose half is as easy to read."""
    if most <= 2:
        return 2
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= most)


def places(number: int) -> list[Box]:
    """Even parts of the time axis, as high as the chart."""
    width = WIDTH / max(1, number)
    return [_box(index * width, 0, width, HEIGHT) for index in range(number)]


def bars(pairs: Sequence[tuple[int, int]], top: float) -> list[Bar]:
    """A bar for each (succeeded, failed); ``top`` is as high as the chart."""
    width = WIDTH / max(1, len(pairs))
    return [
        _bar(index * width, width, succeeded, failed, HEIGHT / top)
        for index, (succeeded, failed) in enumerate(pairs)
    ]


def _bar(x: float, width: float, succeeded: int, failed: int, scale: float) -> Bar:
    left, inner = x + width * GAP / 2, width * (1 - GAP)
    below = max(LEAST, failed * scale) if failed else 0.0
    above = max(LEAST, succeeded * scale) if succeeded else 0.0
    # The least height of one must not push the other out of the chart.
    above = min(above, HEIGHT - below)
    return Bar(
        _box(x, 0, width, HEIGHT),
        _box(left, HEIGHT - below - above, inner, above) if succeeded else None,
        _box(left, HEIGHT - below, inner, below) if failed else None,
    )


def curve(values: Sequence[float | None], top: float) -> Curve:
    """A line through the values; None breaks it. A lone value is a short dash."""
    step = WIDTH / max(1, len(values))
    pieces: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            pieces.append([])
            continue
        height = HEIGHT - min(value / top, 1) * HEIGHT
        pieces[-1].append(((index + 0.5) * step, height))
    widened = [_widened(piece, step) for piece in pieces if piece]
    return Curve(
        tuple(_points(piece) for piece in widened),
        tuple(
            _points([(piece[0][0], HEIGHT), *piece, (piece[-1][0], HEIGHT)])
            for piece in widened
        ),
    )


def _widened(
    piece: list[tuple[float, float]], step: float
) -> list[tuple[float, float]]:
    if len(piece) > 1:
        return piece
    ((x, y),) = piece
    return [(x - step / 2, y), (x + step / 2, y)]


def position(share: float) -> str:
    """Where on the time axis: 0 is its beginning, 1 its end."""
    return _text(share * WIDTH)


def _box(x: float, y: float, width: float, height: float) -> Box:
    return Box(_text(x), _text(y), _text(width), _text(height))


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_text(x)},{_text(y)}" for x, y in points)


def _text(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
