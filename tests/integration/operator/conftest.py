"""The core's fixtures, for a group that the command sees too."""

from __future__ import annotations

from tests.integration.core.conftest import keys, look, store

__all__ = ["keys", "look", "store"]
