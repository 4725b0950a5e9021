"""The code of the how-to pages runs.

All Python blocks of a page are executed in order in one module, which stands for
``shop.jobs`` of a project; so ``"shop.jobs.charge"`` is found by that name. What a
page takes for granted (an order, a server's address) is in ``howto/PAGE.py``, which is
executed before the first block. A function ``check`` there is called at the end.
The page's TestCases and test functions are run like anybody's, and what it assigns to
``REDISJOBS`` has to pass the checks; its models get tables for its tests. A page that forks or kills has a process of its own.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test import TestCase

from tests.contract import pages
from tests.contract.places import DOCS, ROOT

PAGES = sorted((DOCS / "how-to").glob("*.md"))
ALONE = {"blocking", "durable", "reliable-queue", "results", "scale"}


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """Where a page's code lives."""
    with pages.open_module() as opened:
        yield opened


@pytest.mark.parametrize(
    "path",
    [path for path in PAGES if path.stem not in ALONE],
    ids=lambda path: path.stem,
)
@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.usefixtures("redisjobs")
def test_the_code_of_the_page_runs(
    path: Path, module: ModuleType, request: pytest.FixtureRequest
):
    check = pages.prepare(path, module)
    pages.run_blocks(path, module)
    with tables_of(module):
        run_tests(module, request)
        if check is not None:
            check()


@pytest.mark.parametrize("stem", sorted(ALONE))
def test_the_code_of_a_page_that_is_alone_runs(stem: str, redisjobs: dict[str, Any]):
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-m", "tests.contract.pages"),
            *(str(DOCS / "how-to" / f"{stem}.md"), json.dumps(redisjobs)),
        ],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def tables_of(module: ModuleType) -> Iterator[None]:
    """Those of the models that a page shows."""
    shown = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Model)
        and value.__module__ == module.__name__
    ]
    with connection.schema_editor() as editor:
        for model in shown:
            editor.create_model(model)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            for model in shown:
                editor.delete_model(model)


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


def test_the_use_cases_are_those_of_the_example():
    shown = functions(pages.blocks(DOCS / "how-to" / "use-cases.md"))
    jobs = (ROOT / "example_project").glob("*/jobs.py")

    example = functions([path.read_text(encoding="utf-8") for path in jobs])

    assert shown
    assert shown.items() <= example.items()


def functions(sources: list[str]) -> dict[str, str]:
    """Their code by name, without what they say of themselves."""
    found = {}
    for tree in map(ast.parse, sources):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                if ast.get_docstring(node):
                    del node.body[0]
                found[node.name] = ast.unparse(node)
    return found


def test_there_is_no_preparation_for_a_page_that_is_gone():
    of_pages = {pages.preparation(path) for path in PAGES}

    assert set(pages.PREPARATIONS.glob("*.py")) <= of_pages
