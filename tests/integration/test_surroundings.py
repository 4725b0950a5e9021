from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import ERROR, run_checks
from django.test import override_settings

from django_redisjobs.surroundings import place_problems, server_problems
from tests.servers import Server


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server whose configuration these tests change."""
    started = Server()
    yield started
    started.stop()


@pytest.fixture
def configure(own: Server) -> Iterator[Any]:
    client: Any = own.client()
    before: dict[str, str] = {}

    def change(name: str, value: str) -> None:
        before.setdefault(name, client.config_get(name)[name])
        client.config_set(name, value)

    with override_settings(REDISJOBS={"URL": own.url}):
        yield change
    for name, value in before.items():
        client.config_set(name, value)
    client.close()


def ids(found: Any) -> list[str]:
    return [message.id.removeprefix("redisjobs.") for message in found]


def test_a_good_server_passes(configure: Any) -> None:
    configure("appendonly", "yes")

    assert server_problems() == []
    assert place_problems() == []


def test_eviction_and_persistence_are_told(configure: Any, own: Server) -> None:
    (nothing,) = server_problems()
    assert nothing.id == "redisjobs.W003"
    assert own.socket in nothing.msg

    configure("save", "900 1")
    configure("maxmemory-policy", "allkeys-lru")

    evicts, snapshots = server_problems()
    assert evicts.id == "redisjobs.W002"
    assert "allkeys-lru" in evicts.msg
    assert "noeviction" in str(evicts.hint)
    assert snapshots.id == "redisjobs.W004"


def test_the_embedded_server_keeps_its_jobs(tmp_path: Path) -> None:
    with override_settings(REDISJOBS={"URL": f"embedded://{tmp_path}/jobs"}):
        assert server_problems() == []
        assert ids(place_problems()) == ["W001"]


class Old:
    """Answers INFO as a server of another time."""

    def __init__(self, version: str) -> None:
        self.version = version

    def info(self, section: str) -> dict[str, Any]:
        return {"redis_version": self.version, "aof_enabled": 1}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("4.0.14", ["E020"]),
        ("2.8", ["E020"]),
        ("5.0.0", []),
        ("10.1", []),
        ("7.2.4", []),
        ("", []),
        ("unknown", []),
    ],
)
def test_a_server_that_is_too_old_is_an_error(
    version: str, expected: list[str]
) -> None:
    from django_redisjobs.surroundings import _problems

    found = list(_problems("h:1", Old(version)))  # type: ignore[arg-type]

    assert ids(found) == expected
    assert all(each.level == ERROR for each in found)


def test_a_server_that_does_not_answer_is_a_warning() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    url = f"redis://:secret@127.0.0.1:{port}/0"
    with override_settings(REDISJOBS={"URL": url}):
        (found,) = server_problems()

    assert found.id == "redisjobs.W006"
    assert f"127.0.0.1:{port}" in found.msg
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        ("redis://localhost", {}, []),
        ("redis://127.0.0.1:7000/1", {}, []),
        ("redis://[::1]", {}, []),
        ("unix:///run/redis.sock", {}, []),
        ("redis://redis.example", {}, ["W005"]),
        ("redis://10.0.0.5", {}, ["W005"]),
        ("rediss://redis.example", {}, []),
        ("redis://redis.example", {"ssl": True}, []),
        ("sentinel://localhost,other/jobs", {}, ["W005"]),
        ("cluster://localhost,other", {}, ["W005"]),
        ("cluster://localhost,other", {"ssl": True}, []),
        ("memory://", {}, ["W007"]),
        ("embedded://", {}, ["W001"]),
    ],
)
def test_the_place_is_judged_by_the_settings(
    url: str, options: dict[str, Any], expected: list[str]
) -> None:
    with override_settings(REDISJOBS={"URL": url, "OPTIONS": options}):
        assert ids(place_problems()) == expected


def test_eager_is_told_beside_the_place() -> None:
    with override_settings(REDISJOBS={"URL": "redis://h", "EAGER": True}):
        assert ids(place_problems()) == ["W005", "W016"]


def test_memory_has_nobody_to_ask() -> None:
    with override_settings(REDISJOBS={"URL": "memory://"}):
        assert server_problems() == []


def test_only_checks_for_a_deployment_ask_the_server(configure: Any) -> None:
    def found(*, deploy: bool) -> list[str]:
        messages = run_checks(include_deployment_checks=deploy)
        return ids(each for each in messages if str(each.id).startswith("redisjobs.W"))

    assert found(deploy=False) == []
    assert found(deploy=True) == ["W003"]
