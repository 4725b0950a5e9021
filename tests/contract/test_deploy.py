"""The unit, the compose file and the image in ``example_project/deploy`` would run."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from django_redisjobs.conf import get_settings
from django_redisjobs.durations import parse_duration
from tests.contract.places import ROOT

DEPLOY = ROOT / "example_project" / "deploy"
# Interrupting what runs, and saying farewell to Redis, come after the grace.
LAST_SECONDS = 8.0


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "shop-worker.service")
    return parser


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found["services"]


def read_command(words: list[str]) -> dict[str, Any]:
    """What a ``manage.py`` command is given; it has to exist and to take that."""
    name, *arguments = words[words.index("manage.py") + 1 :]
    command = load_command_class(get_commands()[name], name)
    return vars(command.create_parser("manage.py", name).parse_args(arguments))


def test_the_unit_lets_the_worker_end_in_order(unit):
    service = unit["Service"]
    options = read_command(service["ExecStart"].split())

    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) >= options["grace"] + LAST_SECONDS
    assert options["health"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="has no systemd")
def test_systemd_understands_the_unit(tmp_path):
    copy = tmp_path / "shop-worker.service"
    text = (DEPLOY / copy.name).read_text()
    copy.write_text(text.replace("/srv/shop/.venv/bin/python", "/bin/sh"))

    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert copy.name not in found.stderr, found.stderr


def test_the_composed_worker_ends_in_order_and_is_asked_how_it_is(services):
    worker = services["worker"]
    options = read_command(worker["command"])

    grace = parse_duration(worker["stop_grace_period"])
    assert grace >= options["grace"] + LAST_SECONDS
    assert worker["init"] is True
    assert f"http://{options['health']}/live" in worker["healthcheck"]["test"][-1]
    compile(worker["healthcheck"]["test"][-1], "healthcheck", "exec")
    read_command(services["migrate"]["command"])


def test_the_composed_redis_keeps_jobs(services):
    command = services["redis"]["command"]

    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert any(each.endswith(":/data") for each in services["redis"]["volumes"])


def test_whoever_is_waited_for_is_there(services):
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)


def test_the_image_is_made_of_what_is_there(services):
    build = services["worker"]["build"]
    context = (DEPLOY / build["context"]).resolve()

    assert context / build["dockerfile"] == DEPLOY / "Dockerfile"
    text = (DEPLOY / "Dockerfile").read_text()
    for sources in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (context / source).exists()


@pytest.mark.usefixtures("redisjobs")
def test_the_queues_are_those_of_the_example(unit, services):
    settings = get_settings()
    for words in (unit["Service"]["ExecStart"].split(), services["worker"]["command"]):
        assert set(read_command(words)["queues"]) == set(settings.queues)
