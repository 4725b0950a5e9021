"""What is told of an enqueue that did not become as durable as was asked."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from django_redisjobs.core.durability import Durability

DISK = Durability(disk=True, replicas=0, timeout_ms=1000)
REPLICAS = Durability(disk=False, replicas=2, timeout_ms=500)


@pytest.mark.parametrize(
    ("asked", "reply", "told"),
    [
        (DISK, [1, 0], ""),
        (DISK, [0, 0], "after 1 s it is not on the server's disk"),
        (REPLICAS, 2, ""),
        (REPLICAS, 1, "after 0.5 s 1 of 2 replicas have it"),
        (
            DISK,
            ResponseError("unknown command 'WAITAOF', with args beginning with: '1'"),
            "this server has no WAITAOF (Redis 7.2 and newer have it)",
        ),
        (
            DISK,
            ResponseError("unknown command `WAITAOF`"),
            "this server has no WAITAOF (Redis 7.2 and newer have it)",
        ),
        (REPLICAS, ResponseError("no"), "the server cannot tell: no"),
    ],
)
def test_what_is_missing(asked: Durability, reply: object, told: str) -> None:
    assert asked.shortfall(reply) == told
