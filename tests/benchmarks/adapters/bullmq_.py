"""BullMQ, for Node: fifty jobs at once, finished ones kept to a number and not at all.

A process of Node enqueues, and is told from here when: that costs a line each way for a
call of ``enqueue``, and the time in a job of ``lat`` is Node's own.
"""

from __future__ import annotations

SPEC = {
    "name": "bullmq",
    "packages": [],
    "npm": ["bullmq", "ioredis"],
    "needs": "node",
    "n_enqueue": 10000,
    "variants": {
        "50 at once": {
            "cmd": "node {dir}/adapters/bullmq_.js work",
            "n": 30000,
            "set": "one",
            "main": True,
        },
        "50 at once, no results": {
            "cmd": "node {dir}/adapters/bullmq_.js work",
            "n": 30000,
            "opts": {"results": False},
            "set": "one",
        },
        "2 × 50 at once": {
            "cmd": "node {dir}/adapters/bullmq_.js work",
            "n": 30000,
            "opts": {"processes": 2},
            "set": "two",
        },
        "2 × 50 at once, no results": {
            "cmd": "node {dir}/adapters/bullmq_.js work",
            "n": 30000,
            "opts": {"processes": 2, "results": False},
            "set": "two",
        },
    },
}

import subprocess
from functools import cache
from pathlib import Path


@cache
def producer():
    """It ends when this program does: its input ends then."""
    return subprocess.Popen(
        ["node", str(Path(__file__).with_suffix(".js")), "enqueue"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait():
    if not producer().stdout.readline():
        raise SystemExit("The producer in Node has ended.")


def ask(operation, ids):
    print(operation, ids[0], len(ids), file=producer().stdin, flush=True)
    wait()


def prepare():
    """It says when it is connected."""
    wait()


def enqueue(ids):
    ask("one", ids)


def enqueue_bulk(ids):
    ask("bulk", ids)


def enqueue_lat(i, t):
    ask("lat", [i])
