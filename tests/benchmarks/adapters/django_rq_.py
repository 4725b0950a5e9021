"""django-rq, as its documentation has it."""

from __future__ import annotations

SPEC = {
    "name": "django-rq",
    "packages": ["django-rq", "rq"],
    "n_enqueue": 2000,
    "env": {"DJANGO_SETTINGS_MODULE": "adapters.django_rq_settings"},
    "variants": {
        "forking": {
            "cmd": "{bin}/django-admin rqworker bench -v 0",
            "n": 500,
            "set": "one",
            "main": True,
        },
    },
}

import benchlib as b
import django
from django.apps import apps

if not apps.apps_ready:
    django.setup()

import django_rq


def noop(i, x):
    b.mark(i)
    return i


def lat(i, t):
    b.stamp(i, t)


def enqueue(ids):
    for i in ids:
        django_rq.get_queue("bench").enqueue(noop, i, "x")


def enqueue_lat(i, t):
    django_rq.get_queue("bench").enqueue(lat, i, t)
