"""Jobs that wait for something, many at once in one process."""

from __future__ import annotations

from .sizes import Figures, Sizes
from .stage import Stage
from .subjects import Subject


def sleeping(stage: Stage, subject: Subject, sizes: Sizes) -> Figures:
    """The share of the ideal rate, from when as many are done as run at once."""
    sleep = subject.options.get("sleep", 0.05)
    at_once = 2_000 if sleep >= 1 else 100
    count = max(sizes.of(subject.jobs), 2 * at_once)
    stage.produce(subject, "sleep", count)
    with stage.worker(subject):
        stage.wait_done(count)
    ended = sorted(stage.stamped(count))
    seconds = ended[-1] - ended[at_once - 1]
    return {"of_ideal": (count - at_once) / at_once * sleep / seconds}
