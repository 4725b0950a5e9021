"""The command on a group of the test's own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command

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
