"""What REDACT names is in no text that a worker or a command writes."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import redis
from django.core.management import CommandError
from django.test import override_settings

from django_redisjobs import JobStatus, Worker, conf, current_job, job
from tests.integration.operator.conftest import Operator, operator

__all__ = ["operator"]


@job(retry=0)
def login(user: str, password: str) -> None:
    raise ValueError(f"{user} cannot use {password!r}")


@job(retry=0)
async def alogin(user: str, password: str) -> None:
    raise ValueError(f"{user} cannot use {password!r}")


@job
def register(form: dict[str, str]) -> dict[str, str]:
    return form


@job
def probe(password: str) -> None:
    context = current_job()
    assert context is not None
    context.progress(1, 2, f"ann tries {password}")


@pytest.fixture(autouse=True)
def redacting(redisjobs: dict[str, Any]) -> Any:
    with override_settings(REDISJOBS={**redisjobs, "REDACT": ["passw*"]}):
        yield


def run_again(operator: Operator, job_id: str, *words: str) -> str:
    """What a person sees who runs it and sees it fail."""
    with pytest.raises(CommandError, match="failed for good"):
        operator("run", job_id, *words)
    return operator.printed


@pytest.mark.parametrize("function", [login, alogin])
def test_a_failure_tells_nothing_of_it(
    function: Any, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    handle = function.delay("ann", "geheim")
    with caplog.at_level(logging.INFO, logger="redisjobs"):
        Worker(processes=0, burst=True).run()

    assert handle.status() is JobStatus.FAILED
    told = [
        str(handle.info().attempts),
        handle.info().error,
        caplog.text,
        operator("show", handle.id),
        operator("ls"),
        operator("show", handle.id, "--json"),
        *(run_again(operator, handle.id, *words) for words in ([], ["--json"])),
    ]
    assert all("geheim" not in text and "ann" in text for text in told)
    # The job itself, and code that asks for it, has it.
    assert handle.info().args == ("ann", "geheim")


def test_results_are_shown_without_it(operator: Operator) -> None:
    handle = register.delay({"name": "ann", "password": "geheim"})
    Worker(processes=0, burst=True).run()

    assert handle.result(timeout=0) == {"name": "ann", "password": "geheim"}
    for words in (["show", handle.id], ["show", handle.id, "--json"]):
        assert "geheim" not in operator(*words)
        assert operator.printed.count("[hidden]") == 2
    assert "geheim" not in operator("run", handle.id, "--yes")
    assert "[hidden]" in operator.printed


def test_progress_is_shown_without_it(operator: Operator) -> None:
    handle = probe.delay("geheim")
    Worker(processes=0, burst=True).run()

    for words in (["show", handle.id], ["show", handle.id, "--json"]):
        assert "geheim" not in operator(*words)
        assert "ann tries [hidden]" in operator.printed


def test_what_nobody_can_read_is_not_shown(
    operator: Operator, client: redis.Redis
) -> None:
    handle = register.delay({"password": "geheim"})
    key = conf.keys_for("default").job(handle.id)
    stored = client.get(key)
    assert isinstance(stored, bytes)
    client.set(key, stored.replace(b"[", b"{[", 1))

    assert "geheim" not in operator("show", handle.id)
    assert "[hidden]" in operator.printed


def test_what_failed_before_the_setting_is_not_shown(
    operator: Operator, redisjobs: dict[str, Any]
) -> None:
    with override_settings(REDISJOBS=redisjobs):
        handle = login.delay("ann", "geheim")
        Worker(processes=0, burst=True).run()
        assert "geheim" in operator("show", handle.id)

    for words in (["show", handle.id], ["show", handle.id, "--json"], ["ls"]):
        assert "geheim" not in operator(*words)
