"""The code of the how-to pages runs.

All Python blocks of a page are executed in order in one module, which stands for
``shop.jobs`` of a project; so ``"shop.jobs.charge"`` is found by that name. What a
page takes for granted (an order, a server's address) is in ``howto/PAGE.py``, which is
executed before the first block. A function ``check`` there is called at the end.
The page's TestCases and test functions are run like anybody's, and what it assigns to
``REDISJOBS`` has to pass the checks.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.test import TestCase

from django_redisjobs import registry
from django_redisjobs.conf.reading import read
from tests.contract.places import DOCS

PAGES = sorted((DOCS / "how-to").glob("*.md"))
PREPARATIONS = Path(__file__).parent / "howto"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Where a page's code lives."""
    package, jobs = ModuleType("shop"), ModuleType("shop.jobs")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "shop", package)
    monkeypatch.setitem(sys.modules, "shop.jobs", jobs)
    yield jobs
    forget([path for path in registry.functions() if path.startswith("shop.jobs.")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.usefixtures("redisjobs")
def test_the_code_of_the_page_runs(
    path: Path, module: ModuleType, request: pytest.FixtureRequest
):
    preparation = PREPARATIONS / f"{path.stem.replace('-', '_')}.py"
    if preparation.exists():
        execute(preparation.read_text(encoding="utf-8"), 1, preparation, module)
    check = vars(module).pop("check", None)

    text = path.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        execute(block[1], text.count("\n", 0, block.start(1)) + 1, path, module)
        check_settings(vars(module))
    run_tests(module, request)
    if check is not None:
        check()


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


def run_tests(module: ModuleType, request: pytest.FixtureRequest) -> None:
    """Run the tests that a page shows."""
    loader, suite = unittest.TestLoader(), unittest.TestSuite()
    own = [
        (name, value)
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
    ]
    for _, value in own:
        if inspect.isclass(value) and issubclass(value, unittest.TestCase):
            suite.addTests(loader.loadTestsFromTestCase(value))
    for name, value in own:
        # The last: their fixtures stay.
        if name.startswith("test_") and inspect.isfunction(value):
            suite.addTest(as_test_case(value, request))
    result = unittest.TestResult()
    suite.run(result)
    for test, trace in result.failures + result.errors:
        pytest.fail(f"{test}: {trace}")


def as_test_case(function: Any, request: pytest.FixtureRequest) -> unittest.TestCase:
    """A pytest function, in a transaction as that of the fixture ``db``."""

    def run(_: TestCase) -> None:
        names = inspect.signature(function).parameters
        function(**{name: request.getfixturevalue(name) for name in names})

    return type("Functions", (TestCase,), {"test": run})("test")


def test_there_is_no_preparation_for_a_page_that_is_gone():
    stems = {path.stem.replace("-", "_") for path in PAGES}

    assert {path.stem for path in PREPARATIONS.glob("*.py")} <= stems
