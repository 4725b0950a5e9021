"""Settings of the tests; the environment may name another database."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import environ

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "only for tests"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "tests.urls"
DATABASES = {
    "default": env.db("DATABASE_URL", default="sqlite://:memory:"),
    "other": env.db("OTHER_DATABASE_URL", default="sqlite://:memory:"),
}
# Files: Django never closes what a thread opened of a database in memory.
for alias, database in DATABASES.items():
    if database["ENGINE"] == "django.db.backends.sqlite3":
        name = f"redisjobs-tests-{os.getpid()}-{alias}.sqlite3"
        database["TEST"] = {"NAME": str(Path(tempfile.gettempdir(), name))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_redisjobs",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
# To hash one password takes Django's own most of a second, on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The fixture ``redisjobs`` points this at a real server. What forgets to ask for
# it must not reach anybody's Redis: nothing listens there.
REDISJOBS = {
    "URL": "unix:///nonexistent/ask-for-the-fixture-redisjobs",
    "QUEUES": ["high", "default", "low"],
}
# Django before 6.1 does not know it, and sends the mail of tests there anyway.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
