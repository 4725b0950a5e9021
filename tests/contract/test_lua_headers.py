"""The header of each Lua file is what the body does: it cannot go stale."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.places import LUA

SCRIPTS = sorted(LUA.glob("*.lua"))
DECLARED = re.compile(r"^-- (KEYS|ARGV)\[(\d+)(\.\.\.)?\] (\w+) +\S", re.MULTILINE)
WORD = re.compile(r"""["']([a-z_]+)["']""")

pytestmark = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


def split(path: Path) -> tuple[str, str]:
    """The header and the body without comments."""
    header, _, body = path.read_text(encoding="utf-8").partition("\n\n")
    return header, re.sub(r"--(?!@).*", "", body)


def declared(header: str, kind: str) -> list[tuple[int, bool]]:
    found = DECLARED.findall(header)
    return [(int(index), bool(dots)) for name, index, dots, _ in found if name == kind]


def used(body: str, kind: str) -> set[int]:
    return {int(index) for index in re.findall(kind + r"\[(\d+)", body)}


def included(body: str) -> str:
    """The includes of a body, theirs too: words may be returned there."""
    text, waiting, seen = "", re.findall(r"--@include (\w+)", body), set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            part = (LUA / "includes" / f"{name}.lua").read_text(encoding="utf-8")
            waiting += re.findall(r"--@include (\w+)", part)
            text += part
    return text


def test_header_begins_with_the_name_of_the_file(path: Path):
    header, _ = split(path)

    assert header.startswith(f"-- {path.stem}: ")


def test_keys_are_the_two_that_every_script_has(path: Path):
    header, _ = split(path)

    names = [name for kind, _, _, name in DECLARED.findall(header) if kind == "KEYS"]
    assert names == ["base", "schema"]


def test_arguments_are_declared_without_gaps_and_only_the_last_repeats(path: Path):
    arguments = declared(split(path)[0], "ARGV")

    assert [index for index, _ in arguments] == list(range(1, len(arguments) + 1))
    assert not any(repeats for _, repeats in arguments[:-1])


def test_arguments_of_the_body_are_those_of_the_header(path: Path):
    header, body = split(path)
    arguments = declared(header, "ARGV")
    single = {index for index, repeats in arguments if not repeats}
    repeated = {index for index, repeats in arguments if repeats}

    assert single <= used(body, "ARGV")
    assert used(body, "ARGV") <= single | repeated


def test_replies_of_the_body_are_those_of_the_header(path: Path):
    header, body = split(path)
    _, _, returns = header.partition("-- RETURNS ")
    promised = set(re.findall(r'"([a-z_]+)"', returns))
    returned = set(re.findall(r"""return \{['"]([a-z_]+)['"]""", body))

    assert promised
    assert returned <= promised
    assert promised <= set(WORD.findall(body + included(body)))
