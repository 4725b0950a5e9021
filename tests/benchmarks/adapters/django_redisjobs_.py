"""This package, for the benchmark: what a job does, and how it is enqueued."""

# The harness reads SPEC without importing this file.
from __future__ import annotations

SPEC = {
    "name": "django-redisjobs",
    "packages": ["django-redisjobs", "redis", "hiredis", "Django"],
    "n_enqueue": 10000,
    "env": {"DJANGO_SETTINGS_MODULE": "adapters.redisjobs_settings"},
    "variants": {
        "1 process (results kept 1 h: default)": {
            "cmd": "{bin}/django-admin runworker --processes 1 -v 0",
            "n": 40000,
            "set": "one",
            "main": True,
        },
        "1 process, no results": {
            "cmd": "{bin}/django-admin runworker --processes 1 -v 0",
            "n": 40000,
            "opts": {"results": False},
            "set": "one",
        },
        "2 processes": {
            "cmd": "{bin}/django-admin runworker --processes 2 -v 0",
            "n": 60000,
            "set": "two",
            "deep": True,
        },
        "threads 100": {
            "cmd": "{bin}/django-admin runworker --processes 1 --threads 100 -v 0",
            "n": 4000,
            "set": "io",
        },
        "asyncio 100": {
            "cmd": "{bin}/django-admin runworker --processes 1 -v 0",
            "n": 4000,
            "opts": {"async": True},
            "set": "io",
        },
    },
}

import asyncio
import time
from datetime import UTC, datetime

import benchlib as b
import django
from django.apps import apps

# A worker imports this file while it sets Django up.
if not apps.apps_ready:
    django.setup()

from django_redisjobs import job


@job
def noop(i, x):
    b.mark(i)
    return i


@job
def lat(i, t):
    b.stamp(i, t)


@job
def sleep50(i):
    time.sleep(b.IO_SLEEP)
    b.mark(i)


@job
async def sleep50_async(i):
    await asyncio.sleep(b.IO_SLEEP)
    b.mark(i)


def enqueue(ids):
    for i in ids:
        noop.delay(i, "x")


def enqueue_bulk(ids):
    noop.delay_many([(i, "x") for i in ids])


def enqueue_sleep(ids):
    job_function = sleep50_async if b.OPTS.get("async") else sleep50
    job_function.delay_many([(i,) for i in ids])


def enqueue_lat(i, t):
    lat.delay(i, t)


def enqueue_delayed(ids, due):
    at = datetime.fromtimestamp(due, UTC)
    later = lat.using(run_after=at)
    for i in ids:
        later.delay(i, due)
