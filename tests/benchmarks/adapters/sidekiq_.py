"""Sidekiq, for Ruby, if its program is on PATH. It does not acknowledge.

Its jobs are enqueued from here, so only their working off is measured.
"""

from __future__ import annotations

SPEC = {
    "name": "sidekiq",
    "packages": [],
    "needs": "sidekiq",
    "n_enqueue": 10000,
    "variants": {
        "-c 10": {
            "cmd": "sidekiq -q bench -c 10 -r {dir}/adapters/sidekiq_.rb",
            "n": 20000,
            "set": "one",
        },
    },
}

import json
import secrets
import time

import benchlib as b
import redis

client = redis.Redis.from_url(b.URL)


def enqueue_bulk(ids):
    now = time.time()
    entry = {"class": "Noop", "queue": "bench", "retry": True, "created_at": now}
    client.sadd("queues", "bench")
    client.lpush(
        "queue:bench",
        *(
            json.dumps(
                {
                    **entry,
                    "args": [i, "x"],
                    "jid": secrets.token_hex(12),
                    "enqueued_at": now,
                }
            )
            for i in ids
        ),
    )
