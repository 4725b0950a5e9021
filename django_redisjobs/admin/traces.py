"""Tracebacks in parts: which lines are of the project, which of what it is built on.

Pure: text in, text out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

FILE: Final = re.compile(r'\s*File "([^"]+)", line \d+')
FOREIGN: Final = re.compile(
    r"[/\\](site-packages|dist-packages|lib[/\\]python3[.\d]*)[/\\]"
)


@dataclass(slots=True)
class Frame:
    """Lines that belong together. ``kind``: "own" and "foreign" code, or "text"."""

    kind: str
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def frames(traceback: str) -> Sequence[Frame]:
    """The traceback cut into its frames, and what stands between them."""
    found: list[Frame] = []
    for line in traceback.rstrip("\n").split("\n") if traceback else ():
        if match := FILE.match(line):
            kind = "foreign" if FOREIGN.search(match[1]) else "own"
            found.append(Frame(kind, [line]))
            continue
        # What is less deep than its frame's first line belongs to no frame.
        inside = (
            found
            and found[-1].kind != "text"
            and _depth(line) > _depth(found[-1].lines[0])
        )
        if not inside and (not found or found[-1].kind != "text"):
            found.append(Frame("text"))
        found[-1].lines.append(line)
    return found


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" |+-"))
