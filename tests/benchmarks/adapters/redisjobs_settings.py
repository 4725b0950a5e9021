"""The smallest Django project that runs the benchmark's jobs."""

from __future__ import annotations

import benchlib as b

SECRET_KEY = "bench"
INSTALLED_APPS = ["django_redisjobs", "adapters"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"redisjobs": {"handlers": ["console"], "level": "WARNING"}},
}
REDISJOBS = {
    "URL": b.URL,
    "AUTODISCOVER": ["django_redisjobs_"],
}
if not b.OPTS.get("results", True):
    REDISJOBS["RESULT_TTL"] = 0
if "keep" in b.OPTS:
    REDISJOBS["KEEP"] = {"succeeded": ("1h", b.OPTS["keep"])}
