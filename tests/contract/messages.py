"""What people read in the admin, found in the sources; and how .po and .mo have it."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.utils.translation.template import templatize

from tests.contract.places import PACKAGE

LOCALE = PACKAGE / "locale"
LANGUAGES = ("de", "es", "fr", "ja", "pt", "zh_Hans")
SINGLE = {"_", "gettext", "gettext_lazy"}
PLURAL = {"ngettext", "ngettext_lazy"}
TEXT = r"u?('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
CALL = re.compile(rf"\b(n?gettext|_)\({TEXT}(?:,\s*{TEXT})?")

Message = tuple[str, str | None]
"""A text, and that for several if it counts something."""
Catalog = dict[str, tuple[str, ...]]


@cache
def marked() -> set[Message]:
    """All texts that are marked for translation."""
    found: set[Message] = set()
    for path in PACKAGE.rglob("*.py"):
        found.update(_in_python(path.read_text()))
    for path in templates():
        found.update(_in_template(path))
    return found


def templates() -> list[Path]:
    return sorted(PACKAGE.rglob("templates/**/*.html"))


def _in_python(source: str) -> Iterator[Message]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        texts = [
            part.value
            for part in node.args
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        if name in SINGLE and texts:
            yield texts[0], None
        elif name in PLURAL and len(texts) == 2:
            yield texts[0], texts[1]


def _in_template(path: Path) -> Iterator[Message]:
    for name, single, plural in CALL.findall(templatize(path.read_text(), str(path))):
        several = ast.literal_eval(plural) if name == "ngettext" else None
        yield ast.literal_eval(single), several


def compiled(language: str) -> Catalog:
    """What a .mo says, by text."""
    with _file(language, "mo").open("rb") as file:
        entries = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    found: dict[str, list[tuple[int, str]]] = {}
    for key, text in entries.items():
        if key == "":
            continue
        single, place = key if isinstance(key, tuple) else (key, 0)
        found.setdefault(single, []).append((place, text))
    return {key: tuple(text for _, text in sorted(part)) for key, part in found.items()}


def written(language: str) -> Catalog:
    """What a .po says, by text."""
    found = {}
    for entry in _file(language, "po").read_text().split("\n\n")[1:]:
        lines = re.findall(r'^(msg\w+(?:\[\d\])?) ((?:".*"\n?)+)', entry, re.MULTILINE)
        parts = {name: _joined(text) for name, text in lines}
        forms = [text for name, text in parts.items() if name.startswith("msgstr")]
        found[parts["msgid"]] = tuple(forms)
    return found


def _joined(text: str) -> str:
    return "".join(ast.literal_eval(line) for line in text.splitlines())


def _file(language: str, kind: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / f"django.{kind}"
