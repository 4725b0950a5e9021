"""rq: a fork a job (its default), and none."""

from __future__ import annotations

SPEC = {
    "name": "rq",
    "packages": ["rq"],
    "n_enqueue": 4000,
    "variants": {
        "forking": {
            "cmd": "{bin}/rq worker -q -u {url} bench",
            "n": 500,
            "set": "one",
        },
        "SimpleWorker": {
            "cmd": "{bin}/rq worker -q -w rq.SimpleWorker -u {url} bench",
            "n": 2000,
            "set": "one",
            "main": True,
        },
    },
}

import benchlib as b
import redis
from rq import Queue

queue = Queue("bench", connection=redis.Redis.from_url(b.URL))


def noop(i, x):
    b.mark(i)
    return i


def lat(i, t):
    b.stamp(i, t)


def enqueue(ids):
    for i in ids:
        queue.enqueue(noop, i, "x")


def enqueue_bulk(ids):
    queue.enqueue_many([Queue.prepare_data(noop, (i, "x")) for i in ids])


def enqueue_lat(i, t):
    queue.enqueue(lat, i, t)
