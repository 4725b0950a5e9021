"""What every thread of this process does at this moment, for people: text."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from django_redisjobs.core.texts import encodable

if TYPE_CHECKING:
    from .slots import Slot

MOST_CHARACTERS: Final = 100_000
MOST_TASKS: Final = 100
MOST_FRAMES: Final = 60


def stacks(slots: Iterable[Slot], loop: asyncio.AbstractEventLoop | None) -> str:
    """The jobs that run, the stack of each thread, and of each task of the loop.

    May be called from any thread. Source lines and names, no values.
    """
    text = "\n".join(_parts(slots, loop))
    if len(text) > MOST_CHARACTERS:
        left_out = len(text) - MOST_CHARACTERS
        text = f"{text[:MOST_CHARACTERS]}\n… {left_out:,} characters left out"
    return encodable(text)


def _parts(
    slots: Iterable[Slot], loop: asyncio.AbstractEventLoop | None
) -> Iterator[str]:
    now = monotonic()
    yield f"Process {os.getpid()}, Python {sys.version.split()[0]}"
    for slot in slots:
        job = slot.job
        if job is not None:
            yield f"Slot {slot.number} runs {job.id} for {now - slot.started:.1f} s"
            # How tasks go on hides what a coroutine awaits from those who ask the task.
            yield from _waits(slot.coroutine)
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = threading.get_ident()
    frames = sys._current_frames()  # noqa: SLF001 - there is no other way
    for ident in sorted(frames, key=lambda one: (one == own, names.get(one, ""))):
        about = " (writes this)" if ident == own else ""
        yield f"\nThread {names.get(ident, ident)}{about}"
        yield "".join(traceback.format_stack(frames[ident])).rstrip("\n")
    if loop is not None:
        yield from _tasks(loop)


def _tasks(loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    try:
        tasks = list(asyncio.all_tasks(loop))
    except RuntimeError:
        # The loop was adding to them all the while.
        yield "\nThe tasks of the event loop change too fast to be listed."
        return
    for task in tasks[:MOST_TASKS]:
        yield f"\nTask {task.get_name()}"
        yield from _waits(task.get_coro())
    if len(tasks) > MOST_TASKS:
        yield f"\n… {len(tasks) - MOST_TASKS} more tasks"


def _waits(awaited: Any) -> Iterator[str]:
    """Where a coroutine is, and what it awaits, and what that awaits."""
    for _ in range(MOST_FRAMES):
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is None:
            return
        place = traceback.StackSummary.extract([(frame, frame.f_lineno)])
        yield "".join(place.format()).rstrip("\n")
        awaited = getattr(awaited, "cr_await", None) or getattr(
            awaited, "gi_yieldfrom", None
        )
