"""The shape of the package: names that say nothing are banned, and the map is complete."""

from __future__ import annotations

import re

import pytest

from tests.contract.places import LUA, modules, page

BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}


def test_no_module_has_a_name_that_says_nothing():
    named = {module for module in modules() if module.rpartition(".")[2] in BANNED}

    assert not named


@pytest.mark.parametrize("module", modules())
def test_the_architecture_page_mentions_every_module(module: str):
    assert f"`{module}`" in page("explanation/architecture.md")


@pytest.mark.parametrize("script", sorted(path.stem for path in LUA.glob("*.lua")))
def test_the_architecture_page_mentions_every_script(script: str):
    assert f"`{script}.lua`" in page("explanation/architecture.md")


def test_the_architecture_page_mentions_nothing_that_is_gone():
    mentioned = re.findall(r"\| `([a-z_.]+)` \|", page("explanation/architecture.md"))
    scripts = {path.name for path in LUA.glob("*.lua")}

    assert set(mentioned) <= set(modules()) | scripts
