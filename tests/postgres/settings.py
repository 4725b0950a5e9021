"""Settings of the tests on PostgreSQL: two databases of one cluster."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403

_COMMON = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": os.environ.get("POSTGRES_TEST_HOST", ""),
    "USER": "tests",
}
DATABASES = {
    "default": {**_COMMON, "NAME": "postgres", "TEST": {"NAME": "first"}},
    "other": {**_COMMON, "NAME": "postgres", "TEST": {"NAME": "second"}},
}
