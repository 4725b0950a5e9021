"""What users install is complete, and the core of it needs no Django."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.contract.places import PACKAGE, ROOT

WITHOUT_DJANGO = """
import sys

class NoDjango:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "django":
            raise ImportError("Django is not there")

sys.meta_path.insert(0, NoDjango())
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    __import__(name)
assert not any(name.partition(".")[0] == "django" for name in sys.modules)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel built from this tree."""
    folder: Path = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_wheel_contains_all_that_is_not_python(wheel: list[str]):
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }

    assert "django_redisjobs/py.typed" in wanted
    assert any(name.endswith(".lua") for name in wanted)
    assert any(name.endswith(".html") for name in wanted)
    assert wanted <= set(wheel)


def test_wheel_contains_the_package_and_nothing_else(wheel: list[str]):
    folders = {name.partition("/")[0] for name in wheel}

    assert {name for name in folders if not name.endswith(".dist-info")} == {
        "django_redisjobs"
    }


def test_core_is_imported_without_django():
    names = [
        "django_redisjobs",
        *(f"django_redisjobs.core.{p.stem}" for p in PACKAGE.glob("core/[a-z]*.py")),
    ]

    subprocess.run([sys.executable, "-c", WITHOUT_DJANGO, ROOT, *names], check=True)
