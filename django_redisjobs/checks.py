"""System checks of REDISJOBS: every mistake, with its id. No I/O.

E001 not a dict · E002 unknown key · E003 URL · E004 QUEUES · E005 a queue's name ·
E006 a duration · E008 CACHE · E009 KEEP · E010 any other value. With ``--deploy``:
W001 the embedded server.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from django_redisjobs import conf


def check_settings(**_: Any) -> list[CheckMessage]:
    """Every mistake in REDISJOBS, and an ON_COMMIT that names no database."""
    found = conf.problems()
    errors: list[CheckMessage] = [
        Error(problem.message, hint=problem.hint or None, id=f"redisjobs.{problem.id}")
        for problem in found
    ]
    return errors or _check_on_commit(conf.get_settings().on_commit)


def check_place(**_: Any) -> list[CheckMessage]:
    """Whether the server fits a deployment; for ``check --deploy``."""
    if conf.problems() or not conf.get_settings().url.startswith("embedded:"):
        return []
    return [
        CheckWarning(
            "REDISJOBS uses the embedded server, which serves one machine only.",
            hint='Set REDISJOBS["URL"] to a Redis or Valkey that all machines reach, '
            "or silence this if the site runs on one.",
            id="redisjobs.W001",
        )
    ]


def _check_on_commit(alias: bool | str) -> list[CheckMessage]:
    if isinstance(alias, bool) or alias in settings.DATABASES:
        return []
    return [
        Error(
            f"REDISJOBS['ON_COMMIT'] is {alias!r}, which is no alias in DATABASES.",
            hint=f"Choose True, False or one of {', '.join(settings.DATABASES)}.",
            id="redisjobs.E010",
        )
    ]
