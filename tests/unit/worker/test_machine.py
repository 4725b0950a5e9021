from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from django_redisjobs.worker import machine
from django_redisjobs.worker.machine import (
    identity,
    is_left_alone,
    process_state,
    resident_bytes,
    supervised_identity,
)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the system does not tell"
)


@pytest.fixture
def dead():
    """The identity of a process that has ended and was waited for."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    state = process_state(process.pid)
    info = {**identity(), "pid": str(process.pid), "start_time": state[1]}
    assert not is_left_alone(info)
    process.communicate(b"\n")
    return info


def test_a_process_that_is_gone_is_dead(dead):
    assert is_left_alone(dead)


def test_this_one_is_alive():
    assert not is_left_alone(identity())


def test_one_with_its_number_but_another_start_is_not_it():
    assert is_left_alone({**identity(), "start_time": "1"})


@pytest.mark.parametrize("field", ["boot_id", "pid_ns"])
@pytest.mark.parametrize("value", ["", "another"])
def test_what_lives_elsewhere_is_not_known_to_be_dead(dead, field, value):
    assert not is_left_alone({**dead, field: value})


@pytest.mark.parametrize("field", ["pid", "start_time"])
def test_what_does_not_say_enough_is_not_known_to_be_dead(dead, field):
    assert not is_left_alone({**dead, field: ""})


def test_a_zombie_is_dead():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    state = process_state(pid)

    dead = is_left_alone({**identity(), "pid": str(pid), "start_time": state[1]})
    os.waitpid(pid, 0)

    assert dead


def test_what_proc_hides_is_alive_as_long_as_it_can_be_signalled(dead, monkeypatch):
    alive = identity()
    monkeypatch.setattr(machine, "process_state", lambda _pid: None)

    assert not is_left_alone(alive)
    assert is_left_alone(dead)


def test_what_proc_hides_is_alive_where_it_may_not_be_signalled(dead, monkeypatch):
    def refuse(_pid, _number):
        raise PermissionError

    monkeypatch.setattr(machine, "process_state", lambda _pid: None)
    monkeypatch.setattr(os, "kill", refuse)

    assert not is_left_alone(dead)


def test_the_dead_child_of_a_living_supervisor_is_its_own_to_bury(dead):
    me = identity()
    child = {
        **dead,
        "supervisor": me["pid"],
        "supervisor_start_time": me["start_time"],
    }

    assert not is_left_alone(child)
    assert is_left_alone({**child, "supervisor_start_time": "1"})
    assert not is_left_alone({**child, "supervisor_start_time": ""})


def test_a_child_names_its_supervisor():
    info = supervised_identity()

    assert info["supervisor"] == str(os.getppid())
    assert info["supervisor_start_time"] == process_state(os.getppid())[1]


def test_memory_in_use():
    assert resident_bytes() > 1_000_000


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps")
def test_memory_in_use_is_asked_of_ps_where_there_is_no_proc(monkeypatch):
    pages = resident_bytes()
    monkeypatch.setattr(machine, "_HAS_PROC", False)

    assert resident_bytes() == pytest.approx(pages, rel=0.2)
    assert resident_bytes(os.getpid()) == pytest.approx(pages, rel=0.2)
    assert resident_bytes(2**22 + 1) == 0


def test_memory_in_use_is_unknown_where_nobody_tells(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_HAS_PROC", False)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert resident_bytes() == 0
