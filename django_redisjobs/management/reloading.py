"""``runworker --reload``: a new worker whenever a file of the project changes.

This process only watches, with Django's autoreloader; the worker is a process of its
own, so that it may fork, and so that code which cannot even be imported ends the
worker and not the watching.
"""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from django.apps import apps
from django.utils import autoreload

from django_redisjobs.worker.forking import die_with_parent

_SIGNALS: Final = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP")
    if hasattr(signal, name)
)
_INSTALLED: Final = tuple(
    Path(place).resolve()
    for place in (
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
    )
)


def is_reloaded() -> bool:
    """Whether this is the process that a reloader has started, not the reloader."""
    return os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true"


class _Watcher(autoreload.StatReloader):
    """Django's, but for what it does about a change.

    That one would leave this process for a new one, and would leave alone what a site
    can load anew, as templates: a worker cannot.
    """

    def __init__(self, changed: Callable[[Path], None]) -> None:
        super().__init__()
        self._changed = changed

    def notify_file_changed(self, path: str | os.PathLike[str]) -> None:
        self._changed(Path(path))


class Reloader:
    """Runs this process's own command line as a worker, again after each change.

    A worker that is replaced ends as on SIGTERM: what it runs may finish within its
    grace. ``say`` tells people what happens.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._worker: subprocess.Popen[bytes] | None = None
        self._asked: signal.Signals | None = None
        self._changed: Path | None = None
        self._watcher = _Watcher(self._note_change)

    def run(self) -> int:
        """Until a signal, or until the worker ends in good order; its exit status."""
        with self._signals():
            self._watch_project()
            ticks = self._watcher.tick()
            # Before the worker reads a file the watcher knows how old it is.
            next(ticks)
            self._start()
            while not self._is_over():
                next(ticks)
                if self._changed is not None:
                    self._replace()
            # With the signals still passed on: a second one ends the patience.
            return 0 if self._worker is None else self._worker.wait()

    def _watch_project(self) -> None:
        autoreload.autoreload_started.send(sender=self._watcher)
        for app in apps.get_app_configs():
            if not _is_installed(Path(app.path)):
                self._watcher.watch_dir(app.path, "**/*.py")
        for module in list(sys.modules.values()):
            # Beside what is loaded now there may be tomorrow what it imports.
            file = getattr(module, "__file__", None)
            if file and not _is_installed(Path(file)):
                self._watcher.watch_dir(Path(file).parent, "*.py")

    def _note_change(self, path: Path) -> None:
        self._changed = path

    def _start(self) -> None:
        parent = os.getpid()
        self._changed = None
        self._worker = subprocess.Popen(
            autoreload.get_child_arguments(),
            env={**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"},
            # There are no threads here.
            preexec_fn=lambda: die_with_parent(parent, signal.SIGTERM),  # noqa: PLW1509
        )
        if self._asked is not None:
            # The signal came before there was anybody to pass it on to.
            self._worker.terminate()

    def _replace(self) -> None:
        self._say(f"{self._changed} has changed. The worker starts again.")
        self._end()
        if self._asked is None:
            self._start()

    def _is_over(self) -> bool:
        """Somebody asked for the end, or the worker has come to its own."""
        if self._asked is not None:
            return True
        if self._worker is None or self._worker.poll() is None:
            return False
        if self._worker.returncode == 0:
            return True
        self._say(
            f"The worker has ended with {self._worker.returncode}. It starts again when "
            "a file changes."
        )
        self._worker = None
        return False

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.terminate()
            self._worker.wait()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self._pass_on)
            for number in _SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        self._asked = signal.Signals(number)
        if self._worker is not None:
            self._worker.send_signal(number)


def _is_installed(path: Path) -> bool:
    """Whether that is another's code, which changes by an installation only."""
    resolved = path.resolve()
    return any(resolved.is_relative_to(place) for place in _INSTALLED)
