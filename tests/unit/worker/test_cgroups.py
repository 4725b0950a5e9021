"""The CPU limit of a container, as the kernel's files tell it."""

from __future__ import annotations

import os
from math import inf

import pytest

from django_redisjobs.worker import options
from django_redisjobs.worker.cgroups import cpu_limit


@pytest.fixture
def limit(tmp_path):
    """The limit that these files make, with that of the process's own groups."""

    def read(own, **files):
        for name, text in files.items():
            file = tmp_path / "mount" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (tmp_path / "own").write_text(own)
        return cpu_limit(tmp_path / "mount", tmp_path / "own")

    return read


V2 = "0::/\n"
V1 = "4:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n1:name=systemd:/docker/1f\n0::/\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("150000 100000\n", 1.5),
        ("20000 100000\n", 0.2),
        ("max 100000\n", inf),
        ("", inf),
        ("some thing\n", inf),
        ("100000 0\n", inf),
    ],
)
def test_a_container(limit, text, expected):
    assert limit(V2, **{"cpu.max": text}) == expected


@pytest.mark.parametrize(
    ("quota", "expected"), [("250000\n", 2.5), ("-1\n", inf), ("no number", inf)]
)
@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct", "cpu/docker/1f"])
def test_a_container_of_the_first_version(limit, quota, expected, folder):
    files = {
        f"{folder}/cpu.cfs_quota_us": quota,
        f"{folder}/cpu.cfs_period_us": "100000\n",
    }

    assert limit(V1, **files) == expected


def test_a_service_has_the_least_of_its_own_and_those_around_it(limit):
    files = {
        "system.slice/cpu.max": "200000 100000",
        "system.slice/shop.service/cpu.max": "300000 100000",
        "other.slice/cpu.max": "100000 100000",
    }

    assert limit("0::/system.slice/shop.service\n", **files) == 2


def test_a_path_of_the_host_is_not_there(limit):
    assert limit("0::/docker/1f\n", **{"cpu.max": "300000 100000"}) == 3
    assert limit("0::/../../1f\n", **{"cpu.max": "300000 100000"}) == 3


def test_what_cannot_be_read_is_no_limit(tmp_path):
    assert cpu_limit(tmp_path / "nowhere", tmp_path / "nothing") == inf


@pytest.mark.parametrize(
    ("allowed", "expected"), [(inf, 8), (2.0, 2), (1.2, 2), (0.1, 1), (20.0, 8)]
)
def test_there_are_as_many_processes_as_may_run_at_once(monkeypatch, allowed, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(options, "cpu_limit", lambda: allowed)

    assert options.default_processes() == expected
