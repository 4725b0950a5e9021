"""Which version of this package runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """As the installed distribution says; ``0+unknown`` in a checkout that is none."""
    try:
        return version("django-redisjobs")
    except PackageNotFoundError:
        return "0+unknown"
