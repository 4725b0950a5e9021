"""The command on a group of the test's own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

from tests.integration.core.conftest import keys, look, store

__all__ = ["keys", "look", "store"]


class Operator:
    """Types ``manage.py redisjobs …`` and reads what it prints."""

    def __init__(self) -> None:
        self.printed = self.notices = ""

    def __call__(self, *words: Any) -> str:
        out, err = io.StringIO(), io.StringIO()
        try:
            call_command("redisjobs", *map(str, words), stdout=out, stderr=err)
        finally:
            self.printed, self.notices = out.getvalue(), err.getvalue()
        return self.printed

    def json(self, *words: Any) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def operator(redisjobs: dict[str, Any]) -> Operator:
    return Operator()


@pytest.fixture
def broken_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An installed app whose module of jobs cannot be imported; the module's name."""
    package = tmp_path / "broken_shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "jobs.py").write_text("raise KeyError('SHOP\\nURL')")
    monkeypatch.syspath_prepend(tmp_path)
    with override_settings(INSTALLED_APPS=["broken_shop", *settings.INSTALLED_APPS]):
        yield "broken_shop.jobs"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """A person at the terminal who gives one answer; the questions they saw."""

    def be_there(answer: str) -> list[str]:
        asked: list[str] = []

        def ask(question: str) -> str:
            asked.append(question)
            return answer

        monkeypatch.setattr("builtins.input", ask)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        return asked

    return be_there
