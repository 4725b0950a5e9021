"""Settings of the site and of the worker that browser tests start.

Pages have the strictest policy that a project may choose: only files of the site itself.
"""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [
    *INSTALLED_APPS,  # noqa: F405
    "django.contrib.staticfiles",
    "tests.browser",
]
STATIC_URL = "/static/"
USE_I18N = True
MIDDLEWARE = ["tests.browser.policy.strict", *MIDDLEWARE]  # noqa: F405
if given := os.environ.get("BROWSER_TEST_REDISJOBS"):
    REDISJOBS = json.loads(given)
