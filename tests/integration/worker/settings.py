"""Settings of the workers that these tests start; the test gives REDISJOBS as JSON."""

from __future__ import annotations

import asyncio
import json
import os

from asgiref.sync import sync_to_async

from tests.settings import *  # noqa: F403

# As few as these tests need: each worker sets them up anew.
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django_redisjobs",
    "tests.integration.worker",
]
ROOT_URLCONF = "tests.integration.worker.settings"
urlpatterns: list[object] = []
MIDDLEWARE: list[str] = []
TEMPLATES: list[object] = []
REDISJOBS = json.loads(os.environ["WORKER_TEST_REDISJOBS"])
if "WORKER_TEST_ASGIREF" in os.environ:
    # As an app does that warms something up when it is ready.
    asyncio.run(sync_to_async(int)())
if database := os.environ.get("WORKER_TEST_DATABASE"):
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}}
