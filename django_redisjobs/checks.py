"""System checks of REDISJOBS: every mistake, with its id.

E001 not a dict · E002 unknown key · E003 URL · E004 QUEUES · E005 a queue's name ·
E006 a duration · E008 CACHE · E009 KEEP · E010 any other value · E011 a job function ·
E013 SIGNING_KEYS · E014 DURABLE · E015 a decorator above @job · W012 an OUTBOX without
effect · W014 a callback whose own callbacks nobody calls · W015 a cache that deletes jobs
when it is cleared.
With ``--deploy``: E012 a module of job functions, W013 the tables of the outbox, and what
``surroundings`` finds, for which it asks the server: the only I/O.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from django_redisjobs import conf, outbox, registry, surroundings
from django_redisjobs.definitions import JobFunction
from django_redisjobs.options import DECORATED


def check_settings(**_: Any) -> list[CheckMessage]:
    """Every mistake in REDISJOBS, an ON_COMMIT that names no database, and what does
    not go together with other settings.
    """
    found = conf.problems()
    errors: list[CheckMessage] = [
        Error(problem.message, hint=problem.hint or None, id=f"redisjobs.{problem.id}")
        for problem in found
    ]
    if errors:
        return errors
    return [
        *_check_on_commit(conf.get_settings().on_commit),
        *_check_outbox_use(),
        *surroundings.cache_problems(),
    ]


def check_job_functions(**_: Any) -> list[CheckMessage]:
    """Job functions that have been imported by now: could they be enqueued?"""
    if _are_settings_wrong():
        return []
    return _check_functions(registry.functions())


def check_all_job_functions(**_: Any) -> list[CheckMessage]:
    """The same of those that only a worker would import; for ``check --deploy``.

    Importing them all takes time that not every command should have to pay.
    """
    if _are_settings_wrong():
        return []
    before = set(registry.functions())
    broken = [
        Error(
            f"The module of job functions {module} cannot be imported: {reason}",
            hint="No worker can start. What raises it may also be a module that this "
            "one imports.",
            obj=module,
            id="redisjobs.E012",
        )
        for module, reason in registry.broken_modules().items()
    ]
    return [*broken, *_check_functions(registry.functions().keys() - before)]


def check_place(**_: Any) -> list[CheckMessage]:
    """Whether the server that the settings name fits a deployment; no I/O."""
    return [] if conf.problems() else surroundings.place_problems()


def check_server(**_: Any) -> list[CheckMessage]:
    """Ask the server itself; for ``check --deploy``."""
    return [] if conf.problems() else surroundings.server_problems()


def check_outbox(**_: Any) -> list[CheckMessage]:
    """Whether the tables of the outbox are there; for ``check --deploy``."""
    if conf.problems() or not outbox.is_used():
        return []
    missing: list[CheckMessage] = []
    for alias in outbox.aliases():
        try:
            if outbox.has_table(alias):
                continue
            reason = "it has no such table"
        except (DatabaseError, ImproperlyConfigured) as error:
            reason = str(error).strip()
        missing.append(
            CheckWarning(
                f"OUTBOX is on, but in the database {alias!r} no job can be kept: "
                f"{reason}.",
                hint=f"Run manage.py migrate redisjobs --database {alias}; or have a "
                "router keep the table from it, if its transactions make no jobs.",
                id="redisjobs.W013",
            )
        )
    return missing


def _check_outbox_use() -> list[CheckMessage]:
    if not outbox.is_used():
        return []
    if conf.get_settings().on_commit is False:
        reason, hint = "ON_COMMIT is False", "Set ON_COMMIT to True."
    elif not outbox.aliases():
        reason, hint = "no database may have its table", "Name one in DATABASES."
    else:
        return []
    return [
        CheckWarning(
            f"OUTBOX is on and has no effect: {reason}, so no job is made in a "
            "transaction.",
            hint=hint,
            id="redisjobs.W012",
        )
    ]


def _are_settings_wrong() -> bool:
    """Then ``check_settings`` tells it, once and not for each job function."""
    return bool(conf.problems() or _check_on_commit(conf.get_settings().on_commit))


def _check_functions(paths: Collection[str]) -> list[CheckMessage]:
    wrong = {each.path: reason for each, reason in registry.misconfigured()}
    messages: list[CheckMessage] = [
        Error(f"{path} {DECORATED}", obj=path, id="redisjobs.E015")
        for path in registry.decorated()
        if path in paths
    ]
    for path, function in registry.functions().items():
        if path not in paths:
            continue
        if path in wrong:
            messages.append(
                Error(
                    f"{path} cannot be enqueued. {wrong[path]}",
                    obj=path,
                    id="redisjobs.E011",
                )
            )
        else:
            messages += _check_callbacks(function)
    return messages


def _check_callbacks(function: JobFunction[..., Any]) -> list[CheckMessage]:
    return [
        CheckWarning(
            f"{function.path} has {callback}, which names callbacks itself: at the end "
            "of a callback nobody is called.",
            hint="Let it call delay() for what comes next, at its own end.",
            obj=function.path,
            id="redisjobs.W014",
        )
        for callback in function.unheard_callbacks()
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
