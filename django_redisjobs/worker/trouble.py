"""Redis trouble never ends a worker, but one in a burst: it waits longer and longer, and
says so.
"""

from __future__ import annotations

import logging
import time
from math import inf
from random import Random
from typing import Final

import redis

from django_redisjobs import conf, connections
from django_redisjobs.core.exceptions import in_words
from django_redisjobs.exceptions import ServerUnavailable

from .logs import duration

logger = logging.getLogger("redisjobs.worker")

# What a call to Redis raises when Redis, or the way to it, is the cause: lost
# connections, timeouts, and answers such as READONLY, OOM, LOADING, MISCONF, BUSY.
TROUBLE: Final = (redis.RedisError, OSError)

FIRST_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 5.0
SAY_AGAIN_SECONDS: Final = 30.0


class Trouble:
    """One process's trouble with Redis, from the first failure to the next success.

    It is told of at most twice a minute: with one node of a Cluster away, what serves
    several is in trouble and out of it with every other call.

    ``longest``: seconds that it waits at most before it tries again.
    """

    def __init__(
        self, who: str, server: str, *, longest: float = LONGEST_SECONDS
    ) -> None:
        self._who = who
        self._server = server
        self._longest = longest
        self._failures = 0
        self._since = 0.0
        self._said_at = -inf
        self._said = False
        self._rng = Random()

    def met(self, error: BaseException) -> float:
        """Note a failure; gives the seconds to wait before the next call."""
        now = time.monotonic()
        if not self._failures:
            self._since = now
        if now - self._said_at >= SAY_AGAIN_SECONDS:
            self._said_at = now
            self._said = True
            logger.warning(
                "%s cannot use Redis at %s: %s. It keeps what it has and tries on.",
                self._who,
                self._server,
                in_words(error).rstrip(".:"),
            )
        delay = min(self._longest, FIRST_SECONDS * 2.0 ** min(self._failures, 20))
        self._failures += 1
        return delay * (0.5 + self._rng.random() / 2)

    def over(self) -> None:
        """Note a success."""
        if not self._failures:
            return
        self._failures = 0
        if not self._said:
            return
        self._said = False
        logger.info(
            "%s is back on Redis at %s after %.1f s.",
            self._who,
            self._server,
            time.monotonic() - self._since,
        )


class Patience:
    """How long a worker waits for a Redis that is away: in a burst a lease, else for ever.
    Who started a burst waits for its end, and has to know that it did not do its work.
    """

    def __init__(self, server: str, seconds: float) -> None:
        """``seconds``: inf for ever."""
        self._server = server
        self._seconds = seconds
        self._lost_after = 0.0

    def loses(self, away: float) -> bool:
        """Whether it is lost now, after ``away`` seconds; True once."""
        if self._lost_after or away < self._seconds:
            return False
        self._lost_after = away
        logger.warning("%s The burst ends.", self._words())
        return True

    def check(self) -> None:
        """Raises ServerUnavailable if it was lost."""
        if self._lost_after:
            raise ServerUnavailable(
                f"{self._words()} The burst has ended before its jobs were done."
            )

    def _words(self) -> str:
        waited = duration(self._lost_after)
        return f"Redis at {self._server} has not answered for {waited}."


def patience(*, burst: bool) -> Patience:
    """That of a worker in a burst, or of another one."""
    lease_seconds = conf.get_settings().lease_ms / 1000
    return Patience(connections.describe(), lease_seconds if burst else inf)
