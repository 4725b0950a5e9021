"""``manage.py redisjobs``: look at queues, jobs and workers, and act on them."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    DjangoHelpFormatter,
)

from django_redisjobs.exceptions import RedisJobsError
from django_redisjobs.management.operator.bulk import CANCEL, DELETE, MOVE, RETRY
from django_redisjobs.management.operator.doctor import DOCTOR
from django_redisjobs.management.operator.enqueueing import ENQUEUE
from django_redisjobs.management.operator.listing import LS
from django_redisjobs.management.operator.pausing import PAUSE, PURGE, RESUME
from django_redisjobs.management.operator.running import RUN
from django_redisjobs.management.operator.showing import SHOW
from django_redisjobs.management.operator.staff import STOP, WORKERS
from django_redisjobs.management.operator.stats import STATS
from django_redisjobs.management.operator.terminal import Terminal

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from django_redisjobs.management.operator.action import Action

ACTIONS: Mapping[str, Action] = {
    "stats": STATS,
    "ls": LS,
    "show": SHOW,
    "enqueue": ENQUEUE,
    "run": RUN,
    "retry": RETRY,
    "cancel": CANCEL,
    "delete": DELETE,
    "move": MOVE,
    "pause": PAUSE,
    "resume": RESUME,
    "purge": PURGE,
    "workers": WORKERS,
    "stop": STOP,
    "doctor": DOCTOR,
}


class Command(BaseCommand):
    """CommandError for whatever could not be done; nothing else is raised."""

    help = "Shows background jobs, queues and workers, and acts on them."
    # Whoever has to look at three in the morning must not be kept from it by a
    # mistake elsewhere. Wrong settings of REDISJOBS are told when they are read.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        for name, action in ACTIONS.items():
            part = actions.add_parser(
                name,
                help=action.help,
                description=action.help,
                formatter_class=DjangoHelpFormatter,
            )
            action.add_arguments(part)
            part.add_argument(
                "--json",
                dest="as_json",
                action="store_true",
                help="Print one JSON document, for programs.",
            )
            _add_base_arguments(part)

    def handle(self, *_: Any, **options: Any) -> None:
        terminal = Terminal(
            self.stdout,
            self.stderr,
            self.style,
            as_json=options["as_json"],
            verbosity=options["verbosity"],
        )
        try:
            ACTIONS[options["action"]].run(terminal, options)
            self.stdout.flush()
        except RedisJobsError as error:
            raise CommandError(str(error)) from error
        except BrokenPipeError:
            # As in ``ls | head``. The interpreter flushes once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=130) from None


def _add_base_arguments(parser: ArgumentParser) -> None:
    """What Django's own arguments are called, also behind the action's name."""
    add = parser.add_argument
    add(
        "-v", "--verbosity", type=int, choices=range(4), default=SUPPRESS, help=SUPPRESS
    )
    for name in ("--settings", "--pythonpath"):
        add(name, default=SUPPRESS, help=SUPPRESS)
    for name in ("--traceback", "--no-color", "--force-color"):
        add(name, action="store_true", default=SUPPRESS, help=SUPPRESS)
