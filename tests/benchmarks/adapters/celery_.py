"""celery: one process, results kept a day and not (its default)."""

from __future__ import annotations

SPEC = {
    "name": "celery",
    "packages": ["celery[redis]"],
    "n_enqueue": 3000,
    "variants": {
        "prefork 1, no results": {
            "cmd": "{bin}/celery -A adapters.celery_ worker -l error -P prefork -c 1",
            "n": 3000,
            "set": "one",
            "main": True,
        },
        "solo, prefetch 64, no results": {
            "cmd": (
                "{bin}/celery -A adapters.celery_ worker -l error -P solo"
                " --without-gossip --without-mingle --without-heartbeat"
            ),
            "n": 3000,
            "opts": {"prefetch": 64},
            "set": "one",
        },
        "prefork 1": {
            "cmd": "{bin}/celery -A adapters.celery_ worker -l error -P prefork -c 1",
            "n": 2000,
            "opts": {"results": True},
            "set": "one",
        },
    },
}

import benchlib as b
from celery import Celery

app = Celery("bench", broker=b.URL, backend=b.URL if b.OPTS.get("results") else None)
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = b.OPTS.get("prefetch", 4)


@app.task
def noop(i, x):
    b.mark(i)
    return i


@app.task
def lat(i, t):
    b.stamp(i, t)


def enqueue(ids):
    for i in ids:
        noop.delay(i, "x")


def enqueue_lat(i, t):
    lat.delay(i, t)
