"""What a worker was asked to do."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass

from .cgroups import cpu_limit

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The choices behind one ``runworker``.

    ``grace``: seconds that running jobs get when asked to stop. ``overrun``:
    seconds past its timeout (or its cancelling) after which a job's process is
    killed. ``max_jobs`` and ``max_rss`` (bytes) are for each process.
    """

    queues: tuple[str, ...]
    processes: int = 1
    threads: int = 1
    async_concurrency: int = 100
    burst: bool = False
    max_jobs: int | None = None
    max_rss: int | None = None
    grace: float = 25.0
    overrun: float = 10.0
    name: str = ""
    verbosity: int = 1

    def __post_init__(self) -> None:
        for field, least in (
            ("processes", 0),
            ("threads", 1),
            ("async_concurrency", 1),
            ("max_jobs", 1),
            ("max_rss", 1),
            ("grace", 0),
            ("overrun", 0),
        ):
            value = getattr(self, field)
            if value is not None and value < least:
                raise ValueError(f"{field} must be at least {least}, not {value}.")

    @property
    def slots(self) -> int:
        """How many jobs one process can run at the same time."""
        return self.threads + self.async_concurrency


def default_processes() -> int:
    """The number of CPUs that this process may use: those of the machine, or as many as
    its container's limit fills.
    """
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        cpus = os.cpu_count() or 1
    return max(1, math.ceil(min(cpus, cpu_limit())))


def parse_size(value: str | float) -> int:
    """Bytes from ``400M``, ``1.5G``, ``1048576``. ValueError for anything else."""
    if isinstance(value, int):
        return value
    match = _SIZE.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{value!r} is no size; write for example 400M, 1.5G, 65536.")
    number, unit = match.groups()
    return int(float(number) * 1024 ** _POWERS[unit.lower()])
