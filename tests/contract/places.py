"""Where things are, and how the docs are read."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "django_redisjobs"
LUA = PACKAGE / "core" / "lua"
DOCS = ROOT / "docs"


def modules() -> list[str]:
    """Every module of the package, dotted, without the package's own name."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        empty_package = parts[-1] == "__init__" and not path.stat().st_size
        if empty_package or parts[0] == "migrations" or parts == ("__init__",):
            continue
        found.append(".".join(parts).removesuffix(".__init__"))
    return found


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def first_column(text: str) -> list[str]:
    """What stands in backticks in the first cell of each table row, in order."""
    names: list[str] = []
    for line in text.splitlines():
        cell = re.match(r"\| (`[^|]*`[^|]*) \|", line)
        if cell:
            names += re.findall(r"`([^`]+)`", cell[1])
    return names
