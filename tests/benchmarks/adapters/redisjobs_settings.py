"""The smallest Django project that runs the benchmark's jobs."""

from __future__ import annotations

import benchlib as b

SECRET_KEY = "bench"
INSTALLED_APPS = ["django_redisjobs", "adapters"]
DATABASES: dict[str, dict[str, str]] = {}
USE_TZ = True
LOGGING_CONFIG = None
REDISJOBS = {
    "URL": b.URL,
    "AUTODISCOVER": ["django_redisjobs_"],
    "RESULT_TTL": "1h" if b.OPTS.get("results", True) else 0,
}
