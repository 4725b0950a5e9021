"""saq: ten jobs at once (its default), results kept ten minutes (its default)."""

from __future__ import annotations

SPEC = {
    "name": "saq",
    # It imports the second one without saying so.
    "packages": ["saq[redis]", "typing_extensions"],
    "n_enqueue": 5000,
    "variants": {
        "10 at once": {
            "cmd": "{bin}/saq adapters.saq_.settings --quiet",
            "n": 5000,
            "set": "one",
            "main": True,
        },
    },
}

import benchlib as b
from saq import Queue

queue = Queue.from_url(b.URL)


async def noop(ctx, *, i, x):
    b.mark(i)
    return i


async def lat(ctx, *, i, t):
    b.stamp(i, t)


settings = {"queue": queue, "functions": [noop, lat], "concurrency": 10}


async def prepare():
    await queue.connect()


async def enqueue(ids):
    for i in ids:
        await queue.enqueue("noop", i=i, x="x")


async def enqueue_lat(i, t):
    await queue.enqueue("lat", i=i, t=t)
