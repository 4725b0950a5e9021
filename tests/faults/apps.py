"""The app of the fault tests: breaks a worker on purpose where a test wants it broken,
and changes constants that are too patient for a test.
"""

from __future__ import annotations

import os
from importlib import import_module

from django.apps import AppConfig


class Faults(AppConfig):
    name = "tests.faults"

    def ready(self) -> None:
        # Only now: what is patched wants Django to be set up.
        from tests.faults import broken

        if variant := os.environ.get("FAULTS_BROKEN"):
            broken.apply(variant)
        for patch in os.environ.get("FAULTS_PATCHES", "").split():
            path, value = patch.split("=")
            module, name = path.rsplit(".", 1)
            assert hasattr(import_module(module), name), path
            setattr(import_module(module), name, float(value))
