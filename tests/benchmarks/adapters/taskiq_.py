"""taskiq: a hundred jobs at once (its default), on Redis streams, which acknowledge, and
on lists, which do not; results not kept (its default), and kept for an hour.
"""

from __future__ import annotations

SPEC = {
    "name": "taskiq",
    # Newer ones want redis-py 8, and saq wants one before 8.
    "packages": ["taskiq<0.13", "taskiq-redis<1.2.3"],
    "n_enqueue": 5000,
    "variants": {
        "stream, 100 at once, no results": {
            "cmd": "{bin}/taskiq worker adapters.taskiq_:broker -w 1 --log-level ERROR",
            "n": 6000,
            "set": "one",
            "main": True,
        },
        "stream, 100 at once": {
            "cmd": "{bin}/taskiq worker adapters.taskiq_:broker -w 1 --log-level ERROR",
            "n": 5000,
            "opts": {"results": True},
            "set": "one",
        },
        "list, 100 at once, no results": {
            "cmd": "{bin}/taskiq worker adapters.taskiq_:broker -w 1 --log-level ERROR",
            "n": 8000,
            "opts": {"list": True},
            "set": "one",
        },
        "stream, 2 × 100 at once, no results": {
            "cmd": "{bin}/taskiq worker adapters.taskiq_:broker -w 2 --log-level ERROR",
            "n": 10000,
            "set": "two",
        },
        "list, 2 × 100 at once, no results": {
            "cmd": "{bin}/taskiq worker adapters.taskiq_:broker -w 2 --log-level ERROR",
            "n": 12000,
            "opts": {"list": True},
            "set": "two",
        },
    },
}

import benchlib as b
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

Broker = ListQueueBroker if b.OPTS.get("list") else RedisStreamBroker
broker = Broker(url=b.URL)
if b.OPTS.get("results"):
    results = RedisAsyncResultBackend(redis_url=b.URL, result_ex_time=3600)
    broker = broker.with_result_backend(results)


@broker.task
async def noop(i, x):
    b.mark(i)
    return i


@broker.task
async def lat(i, t):
    b.stamp(i, t)


async def prepare():
    await broker.startup()


async def enqueue(ids):
    for i in ids:
        await noop.kiq(i, "x")


async def enqueue_lat(i, t):
    await lat.kiq(i, t)
