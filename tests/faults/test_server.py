"""Redis itself fails for a while: workers wait, no job is lost, and none runs twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.faults.harness import Site

pytestmark = pytest.mark.slow


def restart(site: Site) -> None:
    site.server.kill()
    site.pause(1.0)
    site.server.start()


def freeze(site: Site) -> None:
    os.kill(site.server.process.pid, signal.SIGSTOP)
    site.pause(2.0)
    os.kill(site.server.process.pid, signal.SIGCONT)


def demote(site: Site) -> None:
    site.client.replicaof("127.0.0.1", "1")
    site.pause(1.0)
    site.client.replicaof("NO", "ONE")


def fill(site: Site) -> None:
    site.client.config_set("maxmemory", 1)
    site.pause(1.0)
    site.client.config_set("maxmemory", 0)


def hang_up(site: Site) -> None:
    for _ in range(10):
        site.client.execute_command("CLIENT", "KILL", "TYPE", "normal")
        site.pause(0.1)


def forget_scripts(site: Site) -> None:
    for _ in range(10):
        site.client.script_flush()
        site.pause(0.05)


@pytest.mark.parametrize(
    "fault", [restart, freeze, demote, fill, hang_up, forget_scripts]
)
def test_it_fails_for_a_while(
    open_site: Callable[..., Site], fault: Callable[[Site], None]
) -> None:
    # Nothing befalls a worker here: the checker takes any second run for an error.
    site = open_site(lease=30.0)
    site.add(*[[0.02]] * 150)
    site.start_worker("--processes", "2")
    site.wait_progress(20)

    fault(site)

    assert not site.complaints()
