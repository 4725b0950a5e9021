"""Taking up parked jobs that this build can run (rolling deploys)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from django_redisjobs.core import inspection
from django_redisjobs.core.operations import unpark_many
from django_redisjobs.core.records import JobStatus
from django_redisjobs.core.scripts import Client, perform
from django_redisjobs.vetting import obstacle

from .stations import Post

logger = logging.getLogger("redisjobs.worker")

# The newest are looked at; an old worker that goes on parking cannot keep us busy.
LOOK_AT: Final = 100


def take_up_parked(client: Client, post: Post, queues: Iterable[str]) -> int:
    """Make those ready that could run here; gives how many."""
    return sum(_take_up(client, post, queue) for queue in queues)


def _take_up(client: Client, post: Post, queue: str) -> int:
    page = inspection.page(post.keys, queue, JobStatus.PARKED, 0, LOOK_AT)
    total, records = perform(client, page)
    known = [record.id for record in records if not obstacle(record)]
    if not known:
        return 0
    perform(client, unpark_many(post.keys, known))
    logger.info(
        "%d of %d parked jobs in %s can run here and are pending again: %s",
        len(known),
        total,
        queue,
        ", ".join(known[:10]),
    )
    return len(known)
