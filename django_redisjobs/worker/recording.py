"""What jobs log, kept for people who look at them later.

Noted where a record is made, not by a handler: a handler on the root logger would
silence what Python writes by itself where a project has configured none, and would not
hear loggers that do not propagate.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django_redisjobs import conf
from django_redisjobs.context import current_job
from django_redisjobs.core.records import LogLine
from django_redisjobs.core.texts import encodable
from django_redisjobs.redaction import discreet

LONGEST_LINE: Final = 2_000
"""Characters of one line that are stored."""
# Of one line until then, where values in it have to be found.
_LONGEST_KEPT: Final = 100_000
MOST_CHARACTERS: Final = 20_000
"""Of all lines of one run; the last ones are kept."""


@contextmanager
def recording(lines: int) -> Iterator[None]:
    """Meanwhile jobs keep the last so many lines that they log; 0: none.

    It is for the whole process, and for those that it forks.
    """
    if not lines:
        yield
        return
    before = logging.getLogRecordFactory()

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        context = current_job()
        if context is not None:
            context.keep_line(_line(record), lines)
        return record

    logging.setLogRecordFactory(make)
    try:
        yield
    finally:
        # Whoever has put another one in front meanwhile keeps it.
        if logging.getLogRecordFactory() is make:
            logging.setLogRecordFactory(before)


def _line(record: logging.LogRecord) -> LogLine:
    try:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + "".join(
                traceback.format_exception_only(record.exc_info[1])
            ).rstrip("\n")
    except Exception as error:  # noqa: BLE001 - values that are logged have code of their own
        # Logging tells of it by itself when the line is written.
        text = f"{record.msg!r:.200} (its arguments do not fit: {error!r:.200})"
    # One more than is stored, which tells that it was cut.
    longest = _LONGEST_KEPT if conf.get_settings().redact else LONGEST_LINE + 1
    text = encodable(text[:longest])
    return (int(record.created * 1000), record.levelname, record.name, text)


def lines_of(kept: Sequence[LogLine], body: str) -> tuple[LogLine, ...]:
    """The last lines that fit, without what REDACT hides of the job's ``body``."""
    left, found = MOST_CHARACTERS, []
    for at_ms, level, logger, text in reversed(kept):
        # Before it is cut: half a secret would not be found.
        line = discreet(text, body)
        if len(line) > LONGEST_LINE:
            line = f"{line[:LONGEST_LINE]} …"
        left -= len(line)
        if left < 0:
            break
        found.append((at_ms, level, logger, line))
    return tuple(reversed(found))


def lines_text(lines: Sequence[LogLine]) -> str | None:
    """The lines as JSON; None for none."""
    return json.dumps(lines, separators=(",", ":")) if lines else None
