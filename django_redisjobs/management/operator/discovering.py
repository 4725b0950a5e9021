"""The job functions of all apps, for who has to act although some apps are broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django_redisjobs import registry
from django_redisjobs.management.operator.formats import harmless
from django_redisjobs.management.operator.terminal import Terminal


def discover(terminal: Terminal) -> None:
    """Import what can be imported, and tell of the rest on standard error."""
    for line in lines(registry.broken_modules()):
        terminal.notice(line)


def lines(broken: Mapping[str, str]) -> Iterator[str]:
    """What people are told of modules that cannot be imported."""
    for module, reason in broken.items():
        yield harmless(f"{module} cannot be imported: {' '.join(reason.split())}")
