"""This package, for the benchmark: what a job does, and how it is enqueued."""

# The harness reads SPEC without importing this file.
from __future__ import annotations

SPEC = {
    "name": "django-redisjobs",
    "packages": ["django-redisjobs", "redis", "hiredis", "Django"],
    "n_enqueue": 10000,
    "env": {"DJANGO_SETTINGS_MODULE": "adapters.redisjobs_settings"},
    "variants": {
        "1 process": {
            "cmd": "{bin}/django-admin runworker --processes 1",
            "n": 60000,
            "set": "one",
            "main": True,
        },
        "1 process, no results": {
            "cmd": "{bin}/django-admin runworker --processes 1",
            "n": 60000,
            "opts": {"results": False},
            "set": "one",
        },
        "2 processes": {
            "cmd": "{bin}/django-admin runworker --processes 2",
            "n": 90000,
            "set": "two",
            "deep": True,
        },
        "threads 100": {
            "cmd": "{bin}/django-admin runworker --processes 1 --threads 100",
            "n": 4000,
            "set": "io",
        },
        "asyncio 100": {
            "cmd": "{bin}/django-admin runworker --processes 1",
            "n": 4000,
            "opts": {"async": True},
            "set": "io",
        },
        "asyncio 2000": {
            "cmd": (
                "{bin}/django-admin runworker --processes 1 --async-concurrency 2000"
            ),
            "n": 8000,
            "opts": {"async": True, "sleep": 1.0},
            "set": "io",
        },
    },
}

import asyncio
import ctypes
import time
from datetime import UTC, datetime

import benchlib as b
import django
from django.apps import apps

# A worker imports this file while it sets Django up.
if not apps.apps_ready:
    django.setup()

from django.db import transaction

from django_redisjobs import job

SLOW_SECONDS = 2.0


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
    b.stamp(i, 0)


@job
async def sleep50_async(i):
    await asyncio.sleep(b.IO_SLEEP)
    b.stamp(i, 0)


@job
def slow(i, holding):
    """``holding``: no other thread of its process runs meanwhile."""
    b.stamp(i, 0)
    if holding:
        ctypes.PyDLL(None).usleep(int(SLOW_SECONDS * 1e6))
    else:
        time.sleep(SLOW_SECONDS)


def enqueue(ids):
    for i in ids:
        noop.delay(i, "x")


def enqueue_bulk(ids):
    noop.delay_many([(i, "x") for i in ids])


def enqueue_transaction(ids):
    with transaction.atomic():
        enqueue(ids)


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


def enqueue_mixed(ids):
    """Fast jobs with a slow one in their middle, in one round trip."""
    middle = len(ids) // 2
    with transaction.atomic():
        lat.delay_many([(i, 0) for i in ids[:middle]])
        slow.delay(ids[middle], b.OPTS["holding"])
        lat.delay_many([(i, 0) for i in ids[middle + 1 :]])
