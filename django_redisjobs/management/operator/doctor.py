"""``doctor``: whether what is stored is whole, and mending it; whether it can run."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from django.core.management.base import CommandError

from django_redisjobs import conf, connections
from django_redisjobs.calls import ask
from django_redisjobs.core.audit import Finding, Report, audit, mend
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.management.operator.action import Action, Options
from django_redisjobs.management.operator.build import check_code
from django_redisjobs.management.operator.formats import counted, harmless
from django_redisjobs.management.operator.strangers import (
    foreign_names,
    stranded,
    strangers,
)
from django_redisjobs.management.operator.terminal import Terminal
from django_redisjobs.surroundings import server_problems

_MOST_ROUNDS: Final = 8
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``mended``: what was broken and is so no more."""

    broken: Sequence[Finding]
    mended: Sequence[Finding]
    warnings: Sequence[str]
    jobs: int


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--repair",
        action="store_true",
        help="Mend what can be mended. No job is deleted: one whose place was lost "
        "is put back.",
    )
    parser.add_argument(
        "--code",
        action="store_true",
        help="Say whether all that is queued could run with this build of the code.",
    )


def _run(terminal: Terminal, options: Options) -> None:
    if options["code"]:
        if options["repair"]:
            raise CommandError("--repair mends the store, not the code: choose one.")
        check_code(terminal)
        return
    found = diagnose(repair=options["repair"])
    if terminal.as_json:
        terminal.document(_document(found))
    else:
        for line in _lines(found, terminal):
            terminal.line(line)
    if found.broken:
        verb = "is" if len(found.broken) == 1 else "are"
        text = f"{counted(len(found.broken), 'thing')} {verb} broken."
        if not options["repair"]:
            text += " To mend what can be mended: manage.py redisjobs doctor --repair"
        raise CommandError(text)


def diagnose(*, repair: bool) -> Diagnosis:
    """Look at all groups, and mend them. Raises ServerUnavailable."""
    broken: list[Finding] = []
    mended: list[Finding] = []
    warnings: list[str] = []
    jobs = 0
    for keys, queues in conf.groups().items():
        one = _diagnose(keys, queues, repair=repair)
        broken += one.broken
        mended += one.mended
        warnings += one.warnings
        jobs += one.jobs
    names = foreign_names()
    foreign, others = strangers(names)
    server = [f"{one.msg} {one.hint or ''}".strip() for one in server_problems()]
    broken += [*foreign, *stranded(names)]
    return Diagnosis(broken, mended, [*warnings, *others, *server], jobs)


def _diagnose(keys: GroupKeys, queues: Sequence[str], *, repair: bool) -> Diagnosis:
    settings = conf.get_settings()

    def look() -> Report:
        return ask(
            audit(keys, lease_ms=settings.lease_ms, keep=settings.keep, queues=queues)
        )

    report = look()
    mended: dict[tuple[str, ...], Finding] = {}
    for _ in range(_MOST_ROUNDS if repair else 0):
        mendable = [one for one in report.broken if one.mend is not None]
        if not mendable:
            break
        mended.update({one.identity: one for one in mendable})
        ask(
            mend(
                keys,
                mendable,
                lease_ms=settings.lease_ms,
                keep=settings.keep,
                max_crashes=settings.max_crashes,
            )
        )
        # What is mended may show what it had hidden.
        report = look()
    still = {one.identity for one in report.broken}
    done = [one for identity, one in mended.items() if identity not in still]
    return Diagnosis(report.broken, done, report.warnings, report.jobs)


def _lines(found: Diagnosis, terminal: Terminal) -> Iterator[str]:
    style = terminal.style
    for what, findings, paint in (
        ("mended", found.mended, style.SUCCESS),
        ("broken", found.broken, style.ERROR),
    ):
        for code, group in groupby(
            sorted(findings, key=lambda one: one.code), key=lambda one: one.code
        ):
            members = list(group)
            for one in members[:_SHOWN]:
                yield paint(f"{what}: {harmless(one.message)}")
            if len(members) > _SHOWN:
                yield paint(f"{what}: … {len(members) - _SHOWN:,} more ({code})")
    for warning in found.warnings:
        yield style.WARNING(f"warning: {harmless(warning)}")
    verdict = f"{counted(found.jobs, 'job')} at {connections.describe()}"
    if not found.broken:
        yield style.SUCCESS(f"{verdict}: everything is in its place.")
    else:
        yield f"{verdict}."


def _document(found: Diagnosis) -> dict[str, Any]:
    return {
        "ok": not found.broken,
        "jobs": found.jobs,
        "broken": [_finding_document(one) for one in found.broken],
        "mended": [_finding_document(one) for one in found.mended],
        "warnings": list(found.warnings),
    }


def _finding_document(one: Finding) -> dict[str, Any]:
    return {
        "code": one.code,
        "where": one.where,
        "message": one.message,
        "mendable": one.mend is not None,
    }


DOCTOR = Action(
    "Verify every invariant of what is stored, and mend it.", _add_arguments, _run
)
