"""``runworker --reload``: in a project of its own, whose files are written anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from django_redisjobs import JobHandle, registry
from tests.integration.worker.conftest import ROOT, Running, until

pytestmark = pytest.mark.slow

MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
"""
SETTINGS = """
import json, os
SECRET_KEY = "only for tests"
USE_TZ = True
DEBUG = True
INSTALLED_APPS = ["django_redisjobs", "shop"]
REDISJOBS = json.loads(os.environ["WORKER_TEST_REDISJOBS"])
"""
JOBS = """
import pathlib, time
from django_redisjobs import job

@job(retry=0)
def answer(seconds: float) -> int:
    pathlib.Path("started").touch()
    time.sleep(seconds)
    return {}
"""


class Project:
    """Files, and a worker that watches them."""

    def __init__(self, folder: Path, redisjobs: dict[str, object]) -> None:
        self.folder = folder
        self._later = 0
        (folder / "shop").mkdir()
        self.write("manage.py", MANAGE)
        self.write("settings.py", SETTINGS)
        self.write("shop/__init__.py", "")
        self.write("shop/jobs.py", JOBS.format(1))
        environment = {
            **os.environ,
            "WORKER_TEST_REDISJOBS": json.dumps(redisjobs),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        del environment["DJANGO_SETTINGS_MODULE"]
        command = ["manage.py", "runworker", "--reload", "--processes", "1"]
        log = folder / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                env=environment,
                stdout=file,
                stderr=file,
            )
        self.worker = Running(process, log)

    def write(self, name: str, text: str) -> None:
        """Write a file; it is older than what is written after it, by any clock."""
        path = self.folder / name
        path.write_text(text)
        self._later += 10
        changed_at = path.stat().st_mtime + self._later
        os.utime(path, (changed_at, changed_at))

    def ask(self, seconds: float = 0) -> JobHandle[int]:
        return sys.modules["shop.jobs"].answer.delay(seconds)

    def answer(self) -> int:
        """Of the code that the worker runs now."""
        return self.ask().result(timeout=60)

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.worker.process.pid).children(recursive=True)

    def until_it_says(self, words: str) -> None:
        until(lambda: words in self.worker.output, 60)


@pytest.fixture
def project(tmp_path, redisjobs, monkeypatch):
    # What the test enqueues: any function will do that goes by this name.
    module = ModuleType("shop.jobs")
    monkeypatch.setitem(sys.modules, "shop.jobs", module)
    exec(JOBS.format(0), vars(module))
    made = Project(tmp_path, redisjobs)
    yield made
    made.worker.end()
    sys.stdout.write(made.worker.output)
    registry._functions.pop("shop.jobs.answer")


def test_it_runs_the_code_of_now(project):
    assert project.answer() == 1
    before = project.processes()

    project.write("shop/jobs.py", JOBS.format(2))
    project.until_it_says("has stopped")

    assert project.answer() == 2
    assert "shop/jobs.py has changed" in project.worker.output
    assert not [each for each in before if each.is_running()]


def test_it_comes_back_after_a_mistake(project):
    assert project.answer() == 1

    project.write("settings.py", SETTINGS + "\nthis is no Python")
    project.until_it_says("starts again when a file changes")
    assert "SyntaxError" in project.worker.output
    project.write("settings.py", SETTINGS)
    project.write("shop/jobs.py", JOBS.format(2))

    assert project.answer() == 2


def test_a_running_job_ends_first(project):
    running = project.ask(3)
    until((project.folder / "started").exists, 60)

    project.write("shop/jobs.py", JOBS.format(2))
    project.until_it_says("has changed")

    assert running.result(timeout=60) == 1
    assert project.answer() == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_after_a_signal(project, number):
    assert project.answer() == 1
    processes = project.processes()

    project.worker.signal(number)

    assert project.worker.wait(30) == 0
    assert not [each for each in processes if each.is_running()]
    assert "has stopped" in project.worker.output


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child")
def test_a_killed_reloader_takes_its_worker_along(project):
    assert project.answer() == 1
    processes = project.processes()

    project.worker.process.kill()

    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not alive
