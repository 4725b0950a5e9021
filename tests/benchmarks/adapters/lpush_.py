"""No job queue: the least that an enqueue can be, to compare the others with."""

from __future__ import annotations

import json

import benchlib as b
import redis

client = redis.Redis.from_url(b.URL)
PATH = "adapters.django_redisjobs_.noop"


def enqueue(ids):
    for i in ids:
        client.lpush("bare", json.dumps([PATH, [i, "x"], {}]))
