"""Redis itself fails for a while: workers wait, no job is lost, and none runs twice."""

from __future__ import annotations

import os
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import override_settings

from django_redisjobs import connections
from django_redisjobs.exceptions import EnqueueError
from tests.faults.harness import QUEUES, Site
from tests.faults.jobs import work

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


def load(site: Site) -> None:
    """It has so much to read that it answers LOADING for a while."""
    touch = "for i = ARGV[2], ARGV[2] + 49999 do redis.call(ARGV[1], 'load' .. i{}) end"
    for first in range(0, 400_000, 50_000):
        site.client.eval(touch.format(", i"), 0, "SET", first)
    restart(site)
    log = Path(site.server.log).read_text()
    assert sum(map(float, re.findall(r"DB loaded from .*: ([\d.]+) sec", log))) > 0.1
    for first in range(0, 400_000, 50_000):
        site.client.eval(touch.format(""), 0, "DEL", first)


@pytest.mark.parametrize(
    "fault", [load, restart, freeze, demote, fill, hang_up, forget_scripts]
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


def test_its_append_only_file_cannot_grow(open_site: Callable[..., Site]) -> None:
    """The disk is full: what it has accepted is there, more it does not take."""
    site = open_site(lease=30.0)
    server = site.server.process.pid
    # With ``always`` a server rather ends than answers what it could not write.
    site.client.config_set("appendfsync", "everysec")
    site.add(*[[0.02]] * 150)
    site.start_worker("--processes", "2")
    site.wait_progress(20)
    files = Path(site.server.folder).rglob("*.aof")
    size = max(file.stat().st_size for file in files)

    resource.prlimit(server, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    site.until(
        lambda: site.client.info("persistence")["aof_last_write_status"] == "err",
        "the file is at its limit",
    )
    settings = {"URL": site.server.url, "QUEUES": list(QUEUES)}
    with override_settings(REDISJOBS=settings):
        with pytest.raises(EnqueueError, match="cannot write to its disk"):
            work.delay(1, 0)
        connections.forget()
    site.pause(1.0)
    unlimited = resource.RLIM_INFINITY
    resource.prlimit(server, resource.RLIMIT_FSIZE, (unlimited, unlimited))

    assert not site.complaints()
    ended = site.count()
    restart(site)
    assert site.count() == ended == 150


def test_being_away_for_almost_half_a_lease_costs_no_lease(
    open_site: Callable[..., Site],
) -> None:
    """Up to half a lease nobody is given a new one: those who run a job have to be back
    in time by themselves, while the other one looks out for ended leases.
    """
    site = open_site(lease=10.0)
    for _ in range(2):
        site.start_worker("--processes", "1")
    site.wait_registered(2)
    site.add([20.0], [20.0])
    site.wait_started(1)

    for _ in range(2):
        site.server.kill()
        site.pause(4.7)
        site.server.start()
        site.pause(2.5)

    assert not site.complaints()
