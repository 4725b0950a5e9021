"""Settings of the workers that these tests start: PostgreSQL over TLS, kept open."""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.postgres"]  # noqa: F405
REDISJOBS = json.loads(os.environ["POSTGRES_TEST_REDISJOBS"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["POSTGRES_TEST_PORT"],
        "NAME": "postgres",
        "USER": "tests",
        "CONN_MAX_AGE": None,
        "OPTIONS": {"sslmode": "require"},
    }
}
