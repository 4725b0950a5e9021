from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_redisjobs.worker.machine import (
    identity,
    is_known_dead,
    process_state,
    resident_bytes,
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
    assert not is_known_dead(info)
    process.communicate(b"\n")
    return info


def test_a_process_that_is_gone_is_dead(dead):
    assert is_known_dead(dead)


def test_this_one_is_alive():
    assert not is_known_dead(identity())


def test_one_with_its_number_but_another_start_is_not_it():
    assert is_known_dead({**identity(), "start_time": "1"})


@pytest.mark.parametrize("field", ["boot_id", "pid_ns"])
@pytest.mark.parametrize("value", ["", "another"])
def test_what_lives_elsewhere_is_not_known_to_be_dead(dead, field, value):
    assert not is_known_dead({**dead, field: value})


@pytest.mark.parametrize("field", ["pid", "start_time"])
def test_what_does_not_say_enough_is_not_known_to_be_dead(dead, field):
    assert not is_known_dead({**dead, field: ""})


def test_a_zombie_is_dead():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    state = process_state(pid)

    dead = is_known_dead({**identity(), "pid": str(pid), "start_time": state[1]})
    os.waitpid(pid, 0)

    assert dead


def test_memory_in_use():
    assert resident_bytes() > 1_000_000
