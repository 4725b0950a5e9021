"""How much CPU time the control groups of Linux allow: the limit of a container."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Final

_MOUNT: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")


def cpu_limit(mount: Path = _MOUNT, own: Path = _OWN) -> float:
    """CPUs, in parts too, that all in this process's groups may use together; inf where
    there is no limit, or none that can be read.
    """
    return min((_limit(folder) for folder in _folders(mount, own)), default=inf)


def _folders(mount: Path, own: Path) -> Iterator[Path]:
    """This process's groups and those around them, whose limits count as well."""
    try:
        lines = own.read_text().splitlines()
    except (OSError, ValueError):
        lines = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            # Version 2: one tree.
            roots = {mount}
        elif "cpu" in controllers.split(","):
            roots = {mount / "cpu", mount / controllers}
        else:
            continue
        for root in roots:
            # In a container the path may be the host's, where the mount is its own.
            yield from _between(root, path)


def _between(root: Path, path: str) -> Iterator[Path]:
    yield root
    folder = root
    for part in Path(path).parts[1:]:
        if part == "..":
            # It lies outside of what this process is shown.
            return
        folder /= part
        yield folder


def _limit(folder: Path) -> float:
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return inf if quota == "max" else _quotient(int(quota), int(period))
    with suppress(OSError, ValueError):
        quota = (folder / "cpu.cfs_quota_us").read_text()
        period = (folder / "cpu.cfs_period_us").read_text()
        return _quotient(int(quota), int(period))
    return inf


def _quotient(quota: int, period: int) -> float:
    # The first version says -1 for no limit.
    return quota / period if quota > 0 and period > 0 else inf
