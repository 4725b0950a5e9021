"""Runs the code of a how-to page, as ``shop.jobs`` of a project.

``python -m tests.contract.pages PAGE.md REDISJOBS`` runs that of one page in this
process, which is a worker's then, and nobody else's.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import django
from django.apps import apps
from django.test import override_settings
from django.test.utils import isolate_apps

from django_redisjobs import registry
from django_redisjobs.conf.reading import read

PREPARATIONS = Path(__file__).parent / "howto"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def preparation(page: Path) -> Path:
    """What is executed before the first block, if there is such a file."""
    return PREPARATIONS / f"{page.stem.replace('-', '_')}.py"


@contextmanager
def open_module() -> Iterator[ModuleType]:
    """Where a page's code lives: an app, whose models nobody else sees."""
    package, jobs = ModuleType("shop"), ModuleType("shop.jobs")
    package.__path__ = ["/nonexistent/shop"]
    sys.modules.update({"shop": package, "shop.jobs": jobs})
    try:
        with isolate_apps("shop") as own, patch.dict(apps.app_configs, own.app_configs):
            yield jobs
    finally:
        forget([path for path in registry.functions() if path.startswith("shop.jobs.")])
        del sys.modules["shop"], sys.modules["shop.jobs"]


def prepare(page: Path, module: ModuleType) -> Any:
    """Execute what a page takes for granted; gives what is to be called at its end."""
    path = preparation(page)
    if path.exists():
        execute(path.read_text(encoding="utf-8"), 1, path, module)
    return vars(module).pop("check", None)


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def run_blocks(page: Path, module: ModuleType) -> None:
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        execute(block[1], text.count("\n", 0, block.start(1)) + 1, page, module)
        check_settings(vars(module))


def execute(source: str, line: int, path: Path, module: ModuleType) -> None:
    """Run a piece of a page, such that a traceback names its line there."""
    tree = ast.parse("\n" * (line - 1) + source, str(path))
    # A page may show a job in several versions; a project has one.
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = [node.name for node in tree.body if isinstance(node, defined)]
    forget([f"shop.jobs.{name}" for name in names])
    exec(compile(tree, str(path), "exec", dont_inherit=True), vars(module))


def check_settings(names: dict[str, Any]) -> None:
    if "REDISJOBS" in names:
        _, problems = read(names["REDISJOBS"], names.get("CACHES", {}))
        assert not problems


def forget(paths: list[str]) -> None:
    for path in paths:
        registry._functions.pop(path, None)


def run_alone(page: Path) -> None:
    """All of a page, where nothing else is open or runs: its workers may fork."""
    with open_module() as module:
        check = prepare(page, module)
        run_blocks(page, module)
        check()


if __name__ == "__main__":
    django.setup()
    with override_settings(REDISJOBS=json.loads(sys.argv[2])):
        run_alone(Path(sys.argv[1]))
