"""What comes out of the queues, in which order."""

from __future__ import annotations

from django_redisjobs.testing import run_jobs


def check() -> None:
    results = [each.result for each in run_jobs()]
    assert results == [2026, "the archive is full", 2025, 2024, 1999]

    names = globals()
    for name in ("sea", "wood", "lake"):
        names["upload"](name)
    assert [each.result for each in run_jobs()] == ["lake", "wood", "sea"]
