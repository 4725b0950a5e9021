"""What was measured, as Markdown: for a terminal, and to be kept."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers import find_server

from .stage import Stage
from .subjects import Subject
from .targets import OWN, ROWS, Round, number

_PEERS = {
    "one.jobs_s": "jobs/s",
    "one.worker_us": "worker CPU µs a job",
    "one.server_us": "server CPU µs a job",
    "two.jobs_s": "jobs/s, two processes",
    "enqueue.jobs_s": "enqueued/s",
    "enqueue.of_lpush": "× LPUSH",
    "bulk.jobs_s": "in bulk",
    "latency.p50_ms": "latency p50 ms",
    "latency.p99_ms": "p99 ms",
    "idle.commands_s": "idle commands/s",
    "idle.rss_mb": "RSS MB",
}


def facts(stage: Stage, measured: Sequence[Subject]) -> dict[str, Any]:
    """What the figures depend on."""
    server = stage.client.info("server")
    return {
        "machine": f"{os.cpu_count()} × {_processor()}, {platform.system()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "server": f"{Path(find_server()).name} "
        f"{server.get('valkey_version') or server['redis_version']}",
        **{each.name: each.versions() for each in measured},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def tables(found: dict[str, Any], rounds: Sequence[Round]) -> str:
    parts = ["\n".join(f"- {name}: {value}" for name, value in found.items())]
    parts.append(_targets(rounds))
    if any(len(measured) > 1 for measured in rounds):
        parts.append(_beside(rounds))
    return "\n\n".join(parts)


def _targets(rounds: Sequence[Round]) -> str:
    lines = [
        "| measure | target | median | range | |",
        "| --- | --: | --: | --: | --- |",
    ]
    for row in ROWS:
        values = [value for each in rounds if (value := row.value(each)) is not None]
        if not values:
            continue
        median = statistics.median(values)
        bound = row.at_least is not None or row.at_most is not None
        verdict = ("met" if row.met(median) else "**missed**") if bound else ""
        figure = f"{number(median)} {row.unit}".rstrip()
        target = row.target if bound else ""
        lines.append(
            f"| {row.label} | {target} | {figure} | {_range(values)} | {verdict} |"
        )
    return "\n".join(lines)


def _range(values: Sequence[float]) -> str:
    if len(values) == 1:
        return ""
    return f"{number(min(values))} to {number(max(values))}"


def _beside(rounds: Sequence[Round]) -> str:
    """Everybody, the fastest first; in each cell the median."""
    names = {name: None for measured in rounds for name in measured}
    medians = {
        name: {
            figure: statistics.median(values)
            for figure in _PEERS
            if (values := _values(rounds, name, figure))
        }
        for name in names
    }
    lines = [
        f"| | {' | '.join(_PEERS.values())} |",
        f"| --- |{' --: |' * len(_PEERS)}",
    ]
    for name in sorted(names, key=lambda each: -_speed(medians[each])):
        cells = [
            number(medians[name][figure]) if figure in medians[name] else ""
            for figure in _PEERS
        ]
        label = f"**{name}**" if name == OWN else name
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _speed(medians: Mapping[str, float]) -> float:
    return medians.get("one.jobs_s") or medians.get("two.jobs_s", 0)


def _values(rounds: Sequence[Round], name: str, figure: str) -> list[float]:
    return [
        measured[name][figure]
        for measured in rounds
        if name in measured and figure in measured[name]
    ]
