"""Watching inboxes that nobody empties: a child may be stuck with the interpreter's
lock held, or stopped, and then cannot hand back what it has not started.
"""

from __future__ import annotations

import selectors
from collections.abc import Iterator
from math import inf
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
        # Since when each inbox is known to have something in it, and when to look.
        self._watched: dict[Offspring, tuple[float, float]] = {}

    @property
    def next_at(self) -> float:
        """When (monotonic) to tick."""
        return min((look_at for _, look_at in self._watched.values()), default=inf)

    def begin(self, child: Offspring) -> None:
        """Watch a child that was just started."""
        self._selector.register(child.inbox[0], selectors.EVENT_READ, child)

    def end(self, child: Offspring) -> None:
        """Before its pipes are closed."""
        if self._watched.pop(child, None) is None:
            self._selector.unregister(child.inbox[0])

    def wake(self, child: Offspring) -> None:
        """Its inbox has something in it: look after it until it is empty."""
        self._selector.unregister(child.inbox[0])
        now = monotonic()
        self._watched[child] = now, now + TICK_SECONDS

    def tick(self) -> Iterator[tuple[Offspring, list[int]]]:
        """Gives the children that are stuck, and what was taken from their inboxes."""
        for child, (since, look_at) in list(self._watched.items()):
            descriptor = child.inbox[0]
            if descriptor not in poll([descriptor], 0):
                del self._watched[child]
                self.begin(child)
                continue
            # Other things wake the supervisor, too.
            now = monotonic()
            if now < look_at:
                continue
            # The next look is when those that run now have done so for a tick, not a tick
            # from now: else it would take up to two to find them.
            stuck_at = self._stuck_at(child, since, now)
            if stuck_at <= now:
                yield child, child.steal()
                self._watched[child] = now, now + TICK_SECONDS
            else:
                self._watched[child] = since, stuck_at

    def _stuck_at(self, child: Offspring, since: float, now: float) -> float:
        """When all places will have run the same job for a tick, and more waited
        behind them; from now on where one is free.
        """
        running = child.board.running(self._sync_slots)
        if len(running) < self._sync_slots:
            return now + TICK_SECONDS
        return max(since, *(one.started for one in running)) + TICK_SECONDS
