"""What REDACT names is in no text that a worker or a command writes."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.test import override_settings

from django_redisjobs import JobStatus, Worker, job
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


@pytest.fixture(autouse=True)
def redacting(redisjobs: dict[str, Any]) -> Any:
    with override_settings(REDISJOBS={**redisjobs, "REDACT": ["passw*"]}):
        yield


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
