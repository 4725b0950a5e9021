"""Who finds the pages in their admin: each in a process of its own settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
APPS = [
    *("django.contrib.auth", "django.contrib.contenttypes", "django_redisjobs"),
    *("django.contrib.messages", "django.contrib.sessions"),
]
START = """
import django
from django.conf import settings
settings.configure(INSTALLED_APPS={apps!r}, REDISJOBS={redisjobs!r}, DATABASES={{}})
django.setup()
"""


def run(code: str, *more_apps: str, **redisjobs: object) -> str:
    start = START.format(apps=[*APPS, *more_apps], redisjobs=redisjobs)
    done = subprocess.run(
        [sys.executable, "-c", start + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("shown", "names"), [(True, "job queue worker"), (False, "")])
def test_the_setting_admin_decides(shown: bool, names: str):
    code = (
        "from django.contrib import admin\n"
        "print(*sorted(model._meta.model_name for model in admin.site._registry"
        " if model._meta.app_label == 'redisjobs'))"
    )

    assert run(code, "django.contrib.admin", ADMIN=shown) == names


def test_query_sets_work_without_djangos_admin_and_without_a_database():
    code = (
        "from django_redisjobs.models import Job\n"
        "from django_redisjobs.exceptions import ServerUnavailable\n"
        "try:\n    Job.objects.count()\n"
        "except ServerUnavailable as error:\n    print('asked Redis')"
    )

    assert run(code, URL="redis://127.0.0.1:1") == "asked Redis"


def test_wrong_settings_are_told_by_the_checks_not_by_a_traceback():
    code = (
        "from django.core.management import call_command\n"
        "from django.core.management.base import SystemCheckError\n"
        "try:\n    call_command('check')\n"
        "except SystemCheckError as error:\n    print(error)"
    )

    told = run(code, "django.contrib.admin", QEUES=["high"])

    assert "(redisjobs.E002) REDISJOBS has an unknown key 'QEUES'" in told
