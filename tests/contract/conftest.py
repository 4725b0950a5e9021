"""The fixture of the plugin, also where the package is not installed."""

from __future__ import annotations

from django_redisjobs.pytest_plugin import captured_jobs

__all__ = ["captured_jobs"]
