"""System checks of REDISJOBS: every mistake, with its id. No I/O.

E001 not a dict · E002 unknown key · E003 URL · E004 QUEUES · E005 a queue's name ·
E006 a duration · E008 CACHE · E009 KEEP · E010 any other value · E011 a job function.
With ``--deploy``: W001 the embedded server · E012 a module of job functions.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from django_redisjobs import conf, registry
from django_redisjobs.definitions import JobFunction


def check_settings(**_: Any) -> list[CheckMessage]:
    """Every mistake in REDISJOBS, and an ON_COMMIT that names no database."""
    found = conf.problems()
    errors: list[CheckMessage] = [
        Error(problem.message, hint=problem.hint or None, id=f"redisjobs.{problem.id}")
        for problem in found
    ]
    return errors or _check_on_commit(conf.get_settings().on_commit)


def check_job_functions(**_: Any) -> list[CheckMessage]:
    """Job functions that have been imported by now: could they be enqueued?"""
    if conf.problems():
        return []
    return [_misconfigured(*each) for each in registry.misconfigured()]


def check_all_job_functions(**_: Any) -> list[CheckMessage]:
    """The same of those that only a worker would import; for ``check --deploy``.

    Importing them all takes time that not every command should have to pay.
    """
    if conf.problems():
        return []
    before = set(registry.functions())
    try:
        registry.autodiscover()
    except Exception as error:  # noqa: BLE001 - a module's code may raise anything
        return [
            Error(
                "A module of job functions cannot be imported: "
                f"{type(error).__name__}: {error}",
                hint="No worker can start. It is one that REDISJOBS['AUTODISCOVER'] "
                f"names ({', '.join(conf.get_settings().autodiscover)}) in an "
                "installed app, or one that such a module imports.",
                id="redisjobs.E012",
            )
        ]
    found = registry.misconfigured()
    return [_misconfigured(*each) for each in found if each[0].path not in before]


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


def _misconfigured(function: JobFunction[..., Any], reason: str) -> CheckMessage:
    return Error(
        f"{function.path} cannot be enqueued. {reason}",
        obj=function.path,
        id="redisjobs.E011",
    )


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
