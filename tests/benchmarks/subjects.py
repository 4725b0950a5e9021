"""Whose speed is measured: one way to run one job queue, described by its adapter."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import npm

ADAPTERS = Path(__file__).resolve().parent / "adapters"
OWN = "django_redisjobs_"
BARE = "lpush_"


@dataclass(frozen=True)
class Subject:
    """``packages`` are of PyPI; ``needs`` is a program that nobody installs here.
    ``group``: "one" process, "two", or "io", for jobs that wait. ``main``: measured also
    where one variant a peer is. ``options`` reach its jobs and its settings as
    ``benchlib.OPTS``.
    """

    adapter: str
    name: str
    variant: str
    command: str
    jobs: int
    enqueued: int
    bulk: bool
    packages: tuple[str, ...]
    group: str
    npm: tuple[str, ...] = ()
    needs: str = ""
    main: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def having(self, **options: Any) -> Subject:
        return replace(self, options={**self.options, **options})

    def arguments(self, url: str) -> list[str]:
        folder = Path(sys.executable).parent
        command = self.command.format(bin=folder, url=url, dir=ADAPTERS.parent)
        return shlex.split(command)

    def versions(self) -> str:
        found: dict[str, str | None] = {}
        if self.needs:
            said = subprocess.check_output([self.needs, "--version"], text=True)
            found[self.needs] = said.split()[-1]
        found |= {name_of(each): installed(each) for each in self.packages}
        found |= {name: npm.installed(name) for name in self.npm}
        return ", ".join(f"{name} {each}" for name, each in found.items() if each)


def name_of(package: str) -> str:
    """Without extras and bounds."""
    return re.split(r"[\[<>=]", package)[0]


def installed(package: str) -> str | None:
    try:
        return version(name_of(package))
    except PackageNotFoundError:
        return None


def subjects(adapter: str) -> list[Subject]:
    """All variants of an adapter, which is not imported. SystemExit: there is none."""
    path = ADAPTERS / f"{adapter}.py"
    if not path.is_file():
        known = sorted(each.stem.rstrip("_") for each in ADAPTERS.glob("[!_]*_.py"))
        raise SystemExit(
            f"There is no adapter {adapter}. There are {', '.join(known)}."
        )
    tree = ast.parse(path.read_text(encoding="utf-8"))
    spec = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SPEC"
    )
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return [
        Subject(
            adapter,
            spec["name"],
            variant,
            how["cmd"],
            how["n"],
            spec["n_enqueue"],
            "enqueue_bulk" in functions,
            tuple(spec["packages"]),
            how["set"],
            tuple(spec.get("npm", ())),
            spec.get("needs", ""),
            how.get("main", False),
            spec.get("env", {}),
            how.get("opts", {}),
        )
        for variant, how in spec["variants"].items()
    ]


def peers(names: str) -> list[Subject]:
    """The variants of peers, named with commas between; installs what is missing."""
    found = [
        each for name in filter(None, names.split(",")) for each in subjects(f"{name}_")
    ]
    for each in found:
        if each.needs and shutil.which(each.needs) is None:
            raise SystemExit(f"{each.name} wants {each.needs} on PATH.")
    needed = dict.fromkeys(package for each in found for package in each.packages)
    if any(installed(package) is None for package in needed):
        # All at once: they share libraries, in versions that suit each of them.
        command = [sys.executable, "-m", "pip", "install", "--quiet", *needed]
        subprocess.run(command, check=True)
    needed = dict.fromkeys(package for each in found for package in each.npm)
    if missing := [package for package in needed if npm.installed(package) is None]:
        npm.install(missing)
    return found
