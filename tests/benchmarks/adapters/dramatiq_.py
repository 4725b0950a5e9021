"""dramatiq: eight threads (its default), results kept and not (its default)."""

from __future__ import annotations

SPEC = {
    "name": "dramatiq",
    "packages": ["dramatiq[redis]"],
    "n_enqueue": 8000,
    "variants": {
        "8 threads, no results": {
            "cmd": "{bin}/dramatiq adapters.dramatiq_ -p 1 -t 8 --skip-logging",
            "n": 8000,
            "set": "one",
            "main": True,
        },
        "8 threads": {
            "cmd": "{bin}/dramatiq adapters.dramatiq_ -p 1 -t 8 --skip-logging",
            "n": 6000,
            "opts": {"results": True},
            "set": "one",
        },
    },
}

import benchlib as b
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

KEEPS = b.OPTS.get("results", False)
broker = RedisBroker(url=b.URL)
broker.add_middleware(Results(backend=RedisBackend(url=b.URL), store_results=KEEPS))
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(i, x):
    b.mark(i)
    return i if KEEPS else None


@dramatiq.actor(store_results=False)
def lat(i, t):
    b.stamp(i, t)


def enqueue(ids):
    for i in ids:
        noop.send(i, "x")


def enqueue_lat(i, t):
    lat.send(i, t)
