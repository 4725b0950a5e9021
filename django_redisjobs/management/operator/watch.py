"""A live view: the same lines again and again, in place on a terminal."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from typing import Final

from django_redisjobs.exceptions import ServerUnavailable
from django_redisjobs.management.operator.terminal import Terminal

_ERASE_LINE: Final = "\x1b[K"
_ERASE_BELOW: Final = "\x1b[J"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def watch(
    terminal: Terminal,
    look: Callable[[], Sequence[str]],
    seconds: float,
    *,
    ended: threading.Event | None = None,
) -> None:
    """Show what ``look`` gives until Ctrl-C, or until ``ended`` is set.

    Redis may go away meanwhile: that is shown, and it goes on. Nothing of the
    terminal is changed, so there is nothing to restore whichever way it ends.
    """
    ended = ended or threading.Event()
    height = 0
    try:
        while True:
            shown = _look(terminal, look)
            if terminal.is_interactive:
                height = _redraw(terminal, shown, height)
            else:
                for line in (*shown, ""):
                    terminal.line(line)
            if ended.wait(seconds):
                return
    except KeyboardInterrupt:
        # The ^C that the terminal has echoed stands alone in its line.
        if terminal.is_interactive:
            terminal.line()


def _look(terminal: Terminal, look: Callable[[], Sequence[str]]) -> list[str]:
    try:
        return list(look())
    except ServerUnavailable as error:
        return [terminal.style.ERROR(str(error))]


def _redraw(terminal: Terminal, shown: Sequence[str], height: int) -> int:
    """Write over the ``height`` lines of the last time; gives how many these are."""
    columns, rows = terminal.size
    fitting = [_cut(line, columns) for line in shown[: rows - 1]]
    up = f"\x1b[{height}F" if height else ""
    body = "".join(f"{line}{_ERASE_LINE}\n" for line in fitting)
    terminal.raw(f"{up}{body}{_ERASE_BELOW}")
    return len(fitting)


def _cut(line: str, columns: int) -> str:
    """A line that the terminal does not wrap; colours take no room."""
    if len(_COLOUR.sub("", line)) < columns:
        return line
    return _COLOUR.sub("", line)[: columns - 1]
