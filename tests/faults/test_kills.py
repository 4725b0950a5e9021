"""kill -9 of a child, of a supervisor, of everything: nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness import run_kills
from tests.servers import Server

pytestmark = pytest.mark.slow

SEEDS = [int(seed) for seed in os.environ.get("FAULTS_SEEDS", "1").split(",")]


@pytest.fixture
def own_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.mark.parametrize("seed", SEEDS)
def test_kills_lose_nothing_and_explain_every_rerun(
    seed: int, tmp_path: Path, own_server: Server
) -> None:
    report = run_kills(tmp_path, own_server, seed=seed)

    print(report)  # noqa: T201 - the seed and its figures
    assert not report.complaints


def test_the_checker_catches_a_worker_without_rescue(
    tmp_path: Path, own_server: Server
) -> None:
    report = run_kills(
        tmp_path,
        own_server,
        seed=1,
        jobs=400,
        kills=4,
        broken="no-rescue",
        limit=4.0,
    )

    print(report)  # noqa: T201 - the seed and its figures
    assert any("never ended: lost" in line for line in report.complaints)
