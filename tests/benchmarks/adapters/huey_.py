"""huey: one thread, results kept (its default) and not. It does not acknowledge."""

from __future__ import annotations

SPEC = {
    "name": "huey",
    "packages": ["huey"],
    "n_enqueue": 10000,
    "variants": {
        "1 thread": {
            "cmd": "{bin}/huey_consumer adapters.huey_.huey -q -k thread -w 1",
            "n": 10000,
            "set": "one",
            "main": True,
        },
        "1 thread, no results": {
            "cmd": "{bin}/huey_consumer adapters.huey_.huey -q -k thread -w 1",
            "n": 10000,
            "opts": {"results": False},
            "set": "one",
        },
    },
}

import benchlib as b
from huey import RedisHuey

huey = RedisHuey("bench", url=b.URL, results=b.OPTS.get("results", True))


@huey.task()
def noop(i, x):
    b.mark(i)
    return i


@huey.task()
def lat(i, t):
    b.stamp(i, t)


def enqueue(ids):
    for i in ids:
        noop(i, "x")


def enqueue_lat(i, t):
    lat(i, t)
