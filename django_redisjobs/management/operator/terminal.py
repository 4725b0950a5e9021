"""What the command prints to and asks: text for people, or one JSON document."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper
from django.core.management.color import Style

from django_redisjobs.management.operator.formats import harmless

Paint = Callable[[str], str]
Cell = str | tuple[str, Paint]

_BAR_WIDTH: Final = 30


@dataclass(frozen=True, slots=True)
class Column:
    """``right``: for numbers."""

    title: str
    right: bool = False


class Terminal:
    """Standard output, standard error and the person before them."""

    def __init__(
        self,
        stdout: OutputWrapper,
        stderr: OutputWrapper,
        style: Style,
        *,
        as_json: bool,
        verbosity: int = 1,
    ) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self.style = style
        self.as_json = as_json
        self.verbosity = verbosity

    @property
    def is_interactive(self) -> bool:
        """Whether a person watches the output."""
        return bool(self._stdout.isatty())

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        columns, lines = shutil.get_terminal_size()
        return columns, lines

    def line(self, text: str = "", paint: Paint | None = None) -> None:
        """One line for people."""
        self._stdout.write(self._writable(text), style_func=paint)

    def raw(self, text: str) -> None:
        """Text as it is, at once."""
        self._stdout.write(self._writable(text), ending="")
        self._stdout.flush()

    def _writable(self, text: str) -> str:
        """What the output's encoding lacks, spelled out: it may be that of a pipe."""
        encoding = self._encoding
        return text.encode(encoding, "backslashreplace").decode(encoding)

    @property
    def _encoding(self) -> str:
        # What is written into memory has none.
        return getattr(self._stdout, "encoding", None) or "utf-8"

    def notice(self, text: str) -> None:
        """Something to know beside the output, on standard error."""
        self._stderr.write(text, style_func=self.style.WARNING)

    def document(self, value: Any) -> None:
        """The one JSON document of ``--json``."""
        is_unicode = self._encoding.lower().startswith("utf")
        self._stdout.write(json.dumps(value, indent=2, ensure_ascii=not is_unicode))

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
        """Rows below their titles."""
        for line in self.table_lines(columns, rows):
            self.line(line)

    def table_lines(
        self, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]
    ) -> Iterator[str]:
        """A table's lines, as wide as its widest cells."""
        cells = [[_split(cell) for cell in row] for row in rows]
        widths = [
            max([len(column.title), *(len(row[place][0]) for row in cells)])
            for place, column in enumerate(columns)
        ]
        heads = [(column.title, self.style.MIGRATE_HEADING) for column in columns]
        for row in ([_split(head) for head in heads], *cells):
            parts = []
            for (text, paint), width, column in zip(row, widths, columns, strict=True):
                padded = text.rjust(width) if column.right else text.ljust(width)
                parts.append(paint(padded) if paint else padded)
            yield "  ".join(parts).rstrip()

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if a person agrees, or has agreed by ``--yes``.

        Raises CommandError otherwise, also where nobody can be asked.
        """
        if yes:
            return
        # A standard input that was closed is None.
        if self.as_json or not (sys.stdin and sys.stdin.isatty()):
            raise CommandError(f"{question} Nothing was changed: say --yes to agree.")
        # Where the output goes into a file or a pipe, nobody would see it there.
        seen = nullcontext() if self.is_interactive else redirect_stdout(sys.stderr)
        try:
            with seen:
                answer = input(f"{question} [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was changed.")

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[int], None]]:
        """A bar on a terminal's standard error; give it how many jobs are done."""
        if self.as_json or not self._stderr.isatty() or total == 0:
            yield lambda _done: None
            return

        def show(done: int) -> None:
            filled = min(_BAR_WIDTH, _BAR_WIDTH * done // total)
            bar = "#" * filled + "." * (_BAR_WIDTH - filled)
            self._stderr.write(
                f"\r[{bar}] {done:,} of {total:,} jobs", ending="", style_func=str
            )
            self._stderr.flush()

        show(0)
        try:
            yield show
        finally:
            self._stderr.write("\r\x1b[K", ending="", style_func=str)


def _split(cell: Cell) -> tuple[str, Paint | None]:
    text, paint = (cell, None) if isinstance(cell, str) else cell
    return harmless(text), paint
