"""Watching inboxes that nobody empties: a child may be stuck with the interpreter's
lock held, or stopped, and then cannot hand back what it has not started.
"""

from __future__ import annotations

import selectors
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Final

from .bells import poll

if TYPE_CHECKING:
    from .offspring import Offspring

TICK_SECONDS: Final = 0.020


class InboxWatch:
    """Nothing ticks while all inboxes are empty. ``sync_slots``: how many of a
    child's slots, from the first, take jobs from its inbox.
    """

    def __init__(self, selector: selectors.BaseSelector, sync_slots: int) -> None:
        self._selector = selector
        self._sync_slots = sync_slots
        # What each was busy with, and when (monotonic) that was seen.
        self._seen: dict[Offspring, tuple[tuple[int, ...], float]] = {}

    @property
    def ticking(self) -> bool:
        return bool(self._seen)

    def begin(self, child: Offspring) -> None:
        """Watch a child that was just started."""
        self._selector.register(child.inbox[0], selectors.EVENT_READ, child)

    def end(self, child: Offspring) -> None:
        """Before its pipes are closed."""
        if self._seen.pop(child, None) is None:
            self._selector.unregister(child.inbox[0])

    def wake(self, child: Offspring) -> None:
        """Its inbox has something in it: look again with each tick."""
        self._selector.unregister(child.inbox[0])
        self._seen[child] = self._busy_with(child), monotonic()

    def tick(self) -> Iterator[tuple[Offspring, list[int]]]:
        """Gives the children that are stuck, and what was taken from their inboxes."""
        for child, (before, seen_at) in list(self._seen.items()):
            descriptor = child.inbox[0]
            if descriptor not in poll([descriptor], 0):
                del self._seen[child]
                self.begin(child)
                continue
            # Other things wake the supervisor, too.
            if monotonic() - seen_at < TICK_SECONDS:
                continue
            codes = self._busy_with(child)
            self._seen[child] = codes, monotonic()
            # The same jobs as a tick ago in every place, and more waits behind them.
            if codes == before and all(codes):
                yield child, child.steal()

    def _busy_with(self, child: Offspring) -> tuple[int, ...]:
        codes = {one.slot: one.code for one in child.board.running()}
        return tuple(codes.get(slot, 0) for slot in range(self._sync_slots))
