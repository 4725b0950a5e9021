"""Settings of the processes that these tests start, and kill; all else is JSON."""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403

INSTALLED_APPS = ["django_redisjobs", "tests.integration.outbox"]
ROOT_URLCONF = "tests.integration.outbox.settings"
urlpatterns: list[object] = []
MIDDLEWARE: list[str] = []
TEMPLATES: list[object] = []
REDISJOBS = json.loads(os.environ["OUTBOX_TEST_REDISJOBS"])
DATABASES = {"default": json.loads(os.environ["OUTBOX_TEST_DATABASE"])}
