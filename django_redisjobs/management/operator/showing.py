"""``show``: all of one job, with its attempts, their tracebacks and what they logged."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import replace
from pprint import pformat
from typing import Any, Final

from django_redisjobs.core.payload import Body, parse_body
from django_redisjobs.core.records import AttemptRecord, JobRecord
from django_redisjobs.exceptions import PayloadMalformed, RedisJobsError
from django_redisjobs.management.operator.action import Action, Options
from django_redisjobs.management.operator.formats import (
    age,
    clock,
    counted,
    harmless,
    read_id,
)
from django_redisjobs.management.operator.groups import find_job
from django_redisjobs.management.operator.terminal import Terminal
from django_redisjobs.queries import function_of
from django_redisjobs.redaction import (
    discreet,
    redacted,
    redacted_value,
    unreadable,
)
from django_redisjobs.serialization import snapshot_codec
from django_redisjobs.snapshots import iso

# What a value may raise that names a class which this project does not have.
_UNREADABLE: Final = (
    RedisJobsError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)


def body_of(record: JobRecord) -> Body | None:
    """What the job calls, as people may see it; None when this build cannot read it."""
    try:
        return redacted(parse_body(record.shown_body))
    except PayloadMalformed:
        return None


def result_of(record: JobRecord) -> str:
    """What it returned, as people may see it; empty for nothing."""
    if record.result in (None, "null"):
        return ""
    return _decoded_text(record.result, function_of(record))


def error_of(record: JobRecord) -> str:
    """Why it failed, or failed the last time, as people may see it."""
    return discreet(_error(record), record.shown_body)


def _error(record: JobRecord) -> str:
    if record.error:
        return record.error
    last = record.attempts[-1] if record.attempts else None
    if last is None or last.outcome == "succeeded":
        return ""
    name = last.exception_class.rpartition(".")[2]
    return f"{name}: {last.message}" if name else last.message


def lines(record: JobRecord, terminal: Terminal) -> Iterator[str]:
    """What a person wants to know of a job."""
    style = terminal.style
    title = harmless(f"{function_of(record) or '(unreadable)'} {record.id}")
    yield style.MIGRATE_HEADING(title)
    facts = list(_facts(record))
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        yield f"  {name.ljust(width)}  {harmless(value)}"
    error = error_of(record)
    if error:
        yield style.ERROR(f"  {'error'.ljust(width)}  {harmless(error)}")
    for attempt in record.attempts:
        yield ""
        yield from _attempt(_discreet(attempt, record), terminal)


def _facts(record: JobRecord) -> Iterator[tuple[str, str]]:
    yield "status", record.status.value
    yield "queue", record.queue
    if record.priority:
        yield "priority", str(record.priority)
    yield from _call(record)
    for name, value in (
        ("enqueued", record.enqueued_ms),
        ("due", record.due_ms),
        ("expires", record.expires_ms),
        ("started", record.started_ms),
        ("finished", record.finished_ms),
    ):
        if value:
            yield name, clock(value)
    if record.started_ms and record.finished_ms:
        yield "took", age(max(0, record.finished_ms - record.started_ms) / 1000)
    if record.run:
        attempts = counted(record.attempts_made, "attempt")
        yield "runs", f"{record.run}, {attempts}, {counted(record.crashes, 'crash')}"
    if record.worker:
        yield "worker", record.worker
    for name, text in (("result", record.result), ("meta", record.meta)):
        if text not in (None, "{}"):
            yield name, _decoded_text(text, function_of(record))
    if record.progress is not None:
        found = _progress(record)
        # What nobody can read is text, and no value.
        yield "progress", found if isinstance(found, str) else _decoded(found)


def _call(record: JobRecord) -> Iterator[tuple[str, str]]:
    body = body_of(record)
    if body is None:
        yield "body", unreadable(record.shown_body)
        return
    parts = [_decoded(value) for value in body.args]
    parts += [f"{name}={_decoded(value)}" for name, value in body.kwargs.items()]
    yield "arguments", ", ".join(parts) or "none"
    if body.options:
        yield "options", json.dumps(body.options, ensure_ascii=False)


def _attempt(attempt: AttemptRecord, terminal: Terminal) -> Iterator[str]:
    took = age(max(0, attempt.finished_ms - attempt.started_ms) / 1000)
    head = (
        f"Attempt {attempt.number}: {attempt.outcome} at "
        f"{clock(attempt.finished_ms)} after {took} (worker {attempt.worker})"
    )
    yield terminal.style.MIGRATE_LABEL(head)
    # A traceback says it at its end, but for the stack of a process that crashed.
    if attempt.message and (not attempt.traceback or attempt.outcome == "crashed"):
        yield harmless(attempt.message)
    if attempt.traceback:
        yield from map(harmless, attempt.traceback.rstrip().splitlines())
    for at_ms, level, logger, text in attempt.logs:
        first, *rest = text.splitlines() or [""]
        yield harmless(f"  {clock(at_ms)} {level} {logger}: {first}")
        yield from (harmless(f"    {line}") for line in rest)


def _discreet(attempt: AttemptRecord, record: JobRecord) -> AttemptRecord:
    """As people may see it: it may be older than REDACT."""
    return replace(
        attempt,
        message=discreet(attempt.message, record.shown_body),
        traceback=discreet(attempt.traceback, record.shown_body),
        logs=tuple(
            (at_ms, level, logger, discreet(text, record.shown_body))
            for at_ms, level, logger, text in attempt.logs
        ),
    )


def _progress(record: JobRecord) -> Any:
    """How far the job said it is, as people may see it."""
    found = _plain(record.progress, function_of(record))
    if isinstance(found, dict) and isinstance(found.get("message"), str):
        found["message"] = discreet(found["message"], record.shown_body)
    return found


def _decoded(value: Any) -> str:
    try:
        return pformat(snapshot_codec.restore(value), sort_dicts=False, compact=True)
    except _UNREADABLE:
        return json.dumps(value, ensure_ascii=False)


def _decoded_text(text: str | None, function: str) -> str:
    try:
        return _decoded(redacted_value(function, json.loads(text or "null")))
    except ValueError:
        return unreadable(text or "")


def document(record: JobRecord) -> dict[str, Any]:
    """The same for programs. Values are JSON as it is stored, with its tags."""
    body = body_of(record)
    function = body.function if body else ""
    return {
        **summary(record),
        "args": body.args if body else None,
        "kwargs": body.kwargs if body else None,
        "options": body.options if body else None,
        "priority": record.priority,
        "expires_at": iso(record.expires_ms),
        "runs": record.run,
        "result": _plain(record.result, function),
        "meta": _plain(record.meta, function),
        "progress": _progress(record),
        "attempts": [
            _attempt_document(_discreet(attempt, record)) for attempt in record.attempts
        ],
    }


def summary(record: JobRecord) -> dict[str, Any]:
    """What a list of jobs tells of each."""
    return {
        "id": record.id,
        "function": function_of(record) or None,
        "queue": record.queue,
        "status": record.status.value,
        "enqueued_at": iso(record.enqueued_ms),
        "due_at": iso(record.due_ms),
        "started_at": iso(record.started_ms),
        "finished_at": iso(record.finished_ms),
        "attempts_made": record.attempts_made,
        "crashes": record.crashes,
        "worker": record.worker or None,
        "error": error_of(record) or None,
    }


def _attempt_document(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "run": attempt.run,
        "worker": attempt.worker,
        "started_at": iso(attempt.started_ms),
        "finished_at": iso(attempt.finished_ms),
        "outcome": attempt.outcome,
        "exception_class": attempt.exception_class or None,
        "message": attempt.message or None,
        "traceback": attempt.traceback or None,
        "logs": [
            {"at": iso(at_ms), "level": level, "logger": logger, "text": text}
            for at_ms, level, logger, text in attempt.logs
        ],
    }


def _plain(text: str | None, function: str) -> Any:
    try:
        return None if text is None else redacted_value(function, json.loads(text))
    except ValueError:
        return unreadable(text or "")


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", type=read_id, metavar="ID", help="The job's id.")


def _run(terminal: Terminal, options: Options) -> None:
    _, record = find_job(options["id"])
    if terminal.as_json:
        terminal.document(document(record))
        return
    for line in lines(record, terminal):
        terminal.line(line)


SHOW = Action("Show a job with its attempts and tracebacks.", _add_arguments, _run)
