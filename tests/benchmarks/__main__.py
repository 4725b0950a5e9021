"""Measure this package on a private server, and peers beside it.

    python -m tests.benchmarks --rounds 1 --measures one,latency --scale 0.1
    python -m tests.benchmarks --peers huey,rq,dramatiq --json figures.json

README.md beside this file says more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import blocking, enqueueing, footprint, latency, report, subjects, throughput
from .sizes import Figures, Sizes
from .stage import Stage
from .subjects import Subject
from .targets import OWN, Round


@dataclass(frozen=True)
class Measure:
    """``variant``: how this package runs for it. ``peers``: which variants of theirs,
    by their group, "main", or "bulk": the main ones that can enqueue in bulk.
    """

    run: Callable[[Stage, Subject, Sizes], Figures]
    variant: str = "1 process"
    options: tuple[tuple[str, Any], ...] = ()
    peers: str = "none"

    def is_for(self, peer: Subject) -> bool:
        return (
            self.peers == peer.group
            or (self.peers == "main" and peer.main)
            or (self.peers == "bulk" and peer.main and peer.bulk)
        )


MEASURES = {
    "one": Measure(throughput.busy, peers="one"),
    "one-no-results": Measure(throughput.busy, "1 process, no results"),
    "two": Measure(throughput.busy, "2 processes", peers="two"),
    "far": Measure(throughput.far),
    "enqueue": Measure(enqueueing.one_at_a_time, peers="main"),
    "bulk": Measure(enqueueing.bulk, peers="bulk"),
    "transaction": Measure(enqueueing.transaction),
    "latency": Measure(latency.idle_worker, peers="main"),
    "due": Measure(latency.due),
    "behind-sleeping": Measure(latency.mixed, "2 processes", (("holding", False),)),
    "behind-holding": Measure(latency.mixed, "2 processes", (("holding", True),)),
    "threads": Measure(blocking.sleeping, "threads 100"),
    "coroutines": Measure(blocking.sleeping, "asyncio 100"),
    "many-coroutines": Measure(blocking.sleeping, "asyncio 2000"),
    "memory": Measure(footprint.memory),
    "idle": Measure(footprint.idle, peers="main"),
    "deep": Measure(throughput.deep),
}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=int, default=3)
    add("--measures", default=",".join(MEASURES), help="all: %(default)s")
    add("--peers", default="", help="adapters of tests/benchmarks/adapters, by comma")
    add("--scale", type=float, default=1.0, help="multiplies numbers of jobs")
    add("--depth", type=int, default=1_000_000, help="jobs pending for 'deep'")
    add("--idle-seconds", type=float, default=30.0, help="for how long 'idle' looks")
    add(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the figures of each round there",
    )
    options = parser.parse_args(arguments)
    options.measures = options.measures.split(",")
    if unknown := set(options.measures) - set(MEASURES):
        parser.error(f"no measures: {', '.join(sorted(unknown))}")
    return options


def plan(
    names: Sequence[str], own: Sequence[Subject], peers: Sequence[Subject]
) -> list[tuple[str, Measure, str, Subject]]:
    """What is measured in a round, one after the other, and under which name."""
    variants = {each.variant: each for each in own}
    steps = []
    for name in names:
        measure = MEASURES[name]
        subject = variants[measure.variant].having(**dict(measure.options))
        steps.append((name, measure, OWN, subject))
        steps += [
            (name, measure, f"{peer.name}, {peer.variant}", peer)
            for peer in peers
            if measure.is_for(peer)
        ]
    return steps


def measure_round(
    stage: Stage, steps: Sequence[tuple[str, Measure, str, Subject]], sizes: Sizes
) -> Round:
    figures: dict[str, Figures] = {OWN: {}}
    for name, measure, label, subject in steps:
        stage.clear()
        try:
            found = measure.run(stage, subject, sizes)
        except (SystemExit, subprocess.CalledProcessError) as failure:
            # A peer that fails is no reason to measure nobody; we are.
            if label == OWN:
                raise
            found = {}
            print(f"{name} of {label}: {failure}", file=sys.stderr)
        values = ", ".join(f"{key} {value:,.2f}" for key, value in found.items())
        moment = time.strftime("%H:%M:%S")
        print(f"{moment} {name} · {label}: {values}", file=sys.stderr, flush=True)
        figures.setdefault(label, {}).update(
            {f"{name}.{key}": value for key, value in found.items()}
        )
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    sizes = Sizes(options.scale, options.depth, options.idle_seconds)
    own = subjects.subjects(subjects.OWN)
    peers = subjects.peers(options.peers)
    most = max(sizes.of(each.jobs) for each in [*own, *peers])
    slots = max(most + sizes.depth, 6 * most, 50_000)
    stage = Stage(slots)
    try:
        facts = report.facts(
            stage, [*own[:1], *{each.name: each for each in peers}.values()]
        )
        steps = plan(options.measures, own, peers)
        rounds: list[Round] = []
        for _ in range(options.rounds):
            rounds.append(measure_round(stage, steps, sizes))
            if options.json:
                document = {"facts": facts, "rounds": rounds}
                options.json.write_text(json.dumps(document, indent=1) + "\n")
    finally:
        stage.close()
    print(report.tables(facts, rounds))


if __name__ == "__main__":
    main()
