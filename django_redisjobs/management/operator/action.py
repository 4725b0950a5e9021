"""What each action of the command is made of."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from django_redisjobs.management.operator.terminal import Terminal

Options: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Action:
    """One word after ``manage.py redisjobs``.

    ``run`` prints to the terminal and raises CommandError, or RedisJobsError, which
    the command tells as one.
    """

    help: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Terminal, Options], None]
