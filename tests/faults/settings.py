"""Settings of the workers that the fault tests torment; the test gives the rest by
environment.
"""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403

INSTALLED_APPS = ["django_redisjobs", "tests.faults"]
ROOT_URLCONF = "tests.faults.settings"
urlpatterns: list[object] = []
REDISJOBS = {
    "URL": os.environ.get("FAULTS_URL", "unix:///nonexistent"),
    "OPTIONS": {"socket_timeout": float(os.environ.get("FAULTS_TIMEOUT", "10"))},
    "QUEUES": {
        "high": {},
        "default": {},
        "low": {},
        "apart": {"GROUP": "apart"},
        **json.loads(os.environ.get("FAULTS_QUEUES", "{}")),
    },
    "LEASE": float(os.environ.get("FAULTS_LEASE", "3")),
    # Faults that strike one job again and again are not the job's fault here.
    "MAX_CRASHES": int(os.environ.get("FAULTS_MAX_CRASHES", "100")),
    "KEEP": {"succeeded": ("1h", 200_000), "failed": ("1h", 10_000)},
}
