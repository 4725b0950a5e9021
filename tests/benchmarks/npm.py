"""Packages of npm, in a folder of this Python's environment: they come and go with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(sys.prefix) / "npm"
MODULES = FOLDER / "node_modules"


def installed(package: str) -> str | None:
    """Its version."""
    try:
        description = (MODULES / package / "package.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    version: str = json.loads(description)["version"]
    return version


def install(packages: Sequence[str]) -> None:
    """SystemExit: there is no npm, or it failed."""
    if shutil.which("npm") is None:
        raise SystemExit(f"npm, which installs {', '.join(packages)}, is not on PATH.")
    FOLDER.mkdir(exist_ok=True)
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error")
    # By itself it would try for many minutes to reach what cannot be reached.
    tries = ("--fetch-retries", "1", "--fetch-retry-mintimeout", "1000")
    command = ["npm", "install", "--prefix", str(FOLDER), *quiet, *tries, *packages]
    # What it prints is not to stand among the figures.
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise SystemExit(f"npm could not install {', '.join(packages)}.")
