"""Those of the browser's site, with a theme for the admin in front (``ADMIN_THEME``)."""

from __future__ import annotations

import os

from tests.browser.settings import *  # noqa: F403

INSTALLED_APPS = [os.environ["ADMIN_THEME"], *INSTALLED_APPS]  # noqa: F405
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
