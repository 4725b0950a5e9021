"""Servers that may be tormented, sites that clean up after themselves, and seeds."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness import Site
from tests.faults.proxy import Proxy
from tests.servers import Server

SEEDS = [int(seed) for seed in os.environ.get("FAULTS_SEEDS", "1").split(",")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", SEEDS)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """The short form belongs to every run; the rest is for who names seeds."""
    if "FAULTS_SEEDS" in os.environ:
        return
    own = Path(__file__).parent
    left_out = [
        item
        for item in items
        if own in item.path.parents and item.get_closest_marker("slow")
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture
def rng(seed: int) -> random.Random:
    print(f"seed {seed}")  # noqa: T201 - to do the same again
    return random.Random(seed)


@pytest.fixture
def own_server() -> Iterator[Server]:
    server = Server(append_only=True)
    yield server
    server.stop()


@pytest.fixture
def open_site(tmp_path: Path, own_server: Server) -> Iterator[Callable[..., Site]]:
    """``open_site(lease=…)``: a site whose processes end with the test."""
    opened: list[Site] = []

    def begin(**more: Any) -> Site:
        opened.append(Site(tmp_path, own_server, **more))
        return opened[-1]

    yield begin
    for site in opened:
        site.end()
        print(site.figures())  # noqa: T201 - what the table in the docs is made of
        print(site.log()[-6000:])  # noqa: T201


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    return open_site()


@pytest.fixture
def proxy(own_server: Server) -> Iterator[Proxy]:
    opened = Proxy(own_server.socket)
    yield opened
    opened.close()
