"""The smallest Django project that runs the jobs of django_rq_.py."""

from __future__ import annotations

import benchlib as b

SECRET_KEY = "bench"
INSTALLED_APPS = ["django_rq"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
LOGGING_CONFIG = None
RQ_QUEUES = {"bench": {"URL": b.URL}}
