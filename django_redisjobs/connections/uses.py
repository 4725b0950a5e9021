"""What clients are for, and the timeouts that fit."""

from __future__ import annotations

from dataclasses import dataclass

# Seconds. A server that refuses is known within the first, one that does not
# answer within the second.
CONNECT_TIMEOUT = 5.0
CALL_TIMEOUT = 10.0
# A client for blocking calls may be asked to block this long and no longer: its
# socket gives up a good while after.
LONGEST_BLOCK = 15.0
BLOCKING_TIMEOUT = LONGEST_BLOCK + CALL_TIMEOUT
# Who is asked where another one is (a sentinel, a Cluster's node) has a healthy
# neighbour that can be asked instead.
SCOUT_TIMEOUT = 2.0


# Compared by identity: whoever wants a client looks one up by its use.
@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """What a client is for. Each use has a pool of its own, so that a thousand
    waiting callers never keep an enqueue waiting.
    """

    socket_timeout: float
    # Blocking needs its timeout; a call's may be chosen in OPTIONS or the URL.
    may_block: bool = False


CALL = Use(CALL_TIMEOUT)
BLOCKING = Use(BLOCKING_TIMEOUT, may_block=True)
DURABLE = Use(BLOCKING_TIMEOUT, may_block=True)
WORKER = Use(CALL_TIMEOUT)
