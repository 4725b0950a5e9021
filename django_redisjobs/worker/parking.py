"""Taking up parked jobs that this build can run (rolling deploys)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Final

from django_redisjobs.core import inspection
from django_redisjobs.core.operations import unpark_many
from django_redisjobs.core.records import JobRecord, JobStatus
from django_redisjobs.core.scripts import Client, perform
from django_redisjobs.vetting import obstacle

from .logs import listed
from .rescues import import_seconds
from .stations import Post

logger = logging.getLogger("redisjobs.worker")

# At a time; the next time those behind them.
LOOK_AT: Final = 100


class Parking:
    """Looks through the parked jobs of queues, a part at a time.

    Whatever a project's code raises meanwhile, the job concerned stays parked and the
    others are looked at.
    """

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._complained = False
        self._imports_until = 0.0

    def take_up(self, client: Client, parked: Mapping[Post, Iterable[str]]) -> int:
        """Make those ready that could run here, of these queues; gives how many.

        Waits for imports as long as for one, for all of them: leases end meanwhile. What
        is not imported then is not begun either, but by a later call.
        """
        self._imports_until = monotonic() + import_seconds()
        return sum(
            self._take_up(client, post, queue)
            for post, queues in parked.items()
            for queue in queues
        )

    def _take_up(self, client: Client, post: Post, queue: str) -> int:
        start = self._next.get(queue, 0)
        page = inspection.page(post.keys, queue, JobStatus.PARKED, start, LOOK_AT)
        total, records = perform(client, page)
        known = [record.id for record in records if self._can_run(record)]
        # Those that others park meanwhile come before; none is left out for long.
        behind = start + len(records) - len(known)
        self._next[queue] = behind if start + len(records) < total else 0
        if not known:
            return 0
        perform(client, unpark_many(post.keys, known))
        logger.info(
            "%d of %d parked jobs in %s can run here and are pending again: %s",
            len(known),
            total,
            queue,
            listed(known),
        )
        return len(known)

    def _can_run(self, record: JobRecord) -> bool:
        try:
            return not obstacle(record, max(0.0, self._imports_until - monotonic()))
        except BaseException:
            # All leases hang on who asks this.
            if not self._complained:
                self._complained = True
                logger.exception(
                    "Job %s stays parked: to find out whether it can run here raised "
                    "what should end a process. It is not told again.",
                    record.id,
                )
            return False
