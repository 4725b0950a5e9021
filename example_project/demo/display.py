"""What the demo prints: progress while it works, tables at its end."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

GREEN, RED, SOFT, BOLD, END = "\033[32m", "\033[31m", "\033[2m", "\033[1m", "\033[0m"
BAR = 24

Line = tuple[str, int, int]


class Display:
    """Progress lines: drawn in place on a terminal, else one when something ends."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.live = self.out.isatty() and os.environ.get("TERM") != "dumb"
        self.coloured = self.live and not os.environ.get("NO_COLOR")
        encoding = self.out.encoding or "ascii"
        self.full, self.empty, self.tick, self.cross = (
            ("█", "░", "✓", "✗") if encodes("█░✓✗", encoding) else "#.+x"
        )
        self.drawn = 0
        self.told: set[str] = set()

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=self.out, flush=True)

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour, where there are colours."""
        return f"{colour}{text}{END}" if self.coloured else text

    def progress(self, lines: Sequence[Line]) -> None:
        """Show how far each thing is."""
        if self.live:
            self.draw(lines)
            return
        for title, done, total in lines:
            if done >= total and title not in self.told:
                self.told.add(title)
                self.say(f"  done: {title} ({total})")

    def draw(self, lines: Sequence[Line]) -> None:
        """Draw all lines over those drawn before."""
        width = max((len(title) for title, _, _ in lines), default=0)
        if self.drawn:
            self.out.write(f"\033[{self.drawn}A")
        columns = shutil.get_terminal_size().columns
        for title, done, total in lines:
            filled = min(BAR, BAR * done // total) if total else 0
            bar = self.full * filled + self.empty * (BAR - filled)
            counted = f"{min(done, total)}/{total}"
            text = f"  {title:{width}}  {bar}  {counted}"[: columns - 1]
            colour = GREEN if done >= total else END
            self.out.write(f"\033[2K{self.paint(text, colour)}\n")
        self.out.flush()
        self.drawn = len(lines)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; columns of numbers are flush right."""
        widths = [
            max(len(row[column]) for row in [header, *rows])
            for column in range(len(header))
        ]
        right = [
            all(row[column].replace(".", "").isdigit() for row in rows)
            for column in range(len(header))
        ]
        for number, row in enumerate([header, *rows]):
            cells = [
                f"{cell:>{width}}" if flush else f"{cell:{width}}"
                for cell, width, flush in zip(row, widths, right, strict=True)
            ]
            text = "  ".join(cells).rstrip()
            self.say("  " + (self.paint(text, BOLD) if number == 0 else text))

    def verdict(self, title: str, problems: Sequence[str]) -> None:
        """Whether something came out right, and if not, why."""
        if not problems:
            self.say(f"  {self.paint(self.tick, GREEN)} {title}")
            return
        self.say(f"  {self.paint(f'{self.cross} {title}', RED)}")
        for problem in problems:
            self.say(f"      {problem}")


def encodes(text: str, encoding: str) -> bool:
    """Whether an encoding has all these characters."""
    try:
        text.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True
