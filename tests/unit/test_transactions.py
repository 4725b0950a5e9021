"""Whose commit a job waits for, among several databases."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from django_redisjobs import enqueueing
from django_redisjobs.exceptions import EnqueueError

TEST, OWN = SimpleNamespace(_from_testcase=True), SimpleNamespace(_from_testcase=False)


def chosen(monkeypatch: pytest.MonkeyPatch, **blocks: list[Any]) -> str | None:
    """The alias, where these databases have such blocks around the call."""
    databases = [
        SimpleNamespace(
            alias=alias,
            atomic_blocks=around,
            in_atomic_block=bool(around),
            connection=None,
        )
        for alias, around in blocks.items()
    ]
    handler = SimpleNamespace(settings=blocks, all=lambda **_: databases)
    monkeypatch.setattr(enqueueing, "databases", handler)
    found = enqueueing.open_transaction(None)
    return found and found.alias


def test_the_default_one_comes_first_then_the_only_other_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert chosen(monkeypatch, audit=[OWN], default=[OWN], ledger=[OWN]) == "default"
    assert chosen(monkeypatch, audit=[], default=[], ledger=[OWN]) == "ledger"
    assert chosen(monkeypatch, audit=[], default=[], ledger=[]) is None


def test_those_of_a_test_count_where_there_is_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    test, own = [TEST, TEST], [TEST, TEST, OWN]

    assert chosen(monkeypatch, audit=test, default=test, ledger=own) == "ledger"
    assert chosen(monkeypatch, audit=own, default=own, ledger=own) == "default"
    assert chosen(monkeypatch, audit=test, default=test, ledger=test) == "default"
    assert chosen(monkeypatch, audit=test, default=[], ledger=test) == "audit"
    assert chosen(monkeypatch, audit=test, default=[], ledger=[OWN]) == "ledger"


def test_who_opens_two_has_to_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    for default in ([], [TEST]):
        with pytest.raises(EnqueueError, match="open on audit, ledger: say whose"):
            chosen(monkeypatch, audit=[TEST, OWN], default=default, ledger=[OWN])
