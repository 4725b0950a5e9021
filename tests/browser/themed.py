"""Asks for each page of the admin, in a process of its own: a theme is for good."""

from __future__ import annotations

import sys

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client

from tests.browser.jobs import add


def main() -> int:
    """Prints each page that does not answer as it should; 1 if there is any."""
    call_command("migrate", verbosity=0)
    client = Client()
    client.force_login(User.objects.create_superuser("ada", password="x"))
    handle = add.delay(40, 2)
    pages = {
        "/admin/": "Background jobs",
        "/admin/redisjobs/queue/": "Throughput",
        "/admin/redisjobs/queue/default/pause/": "Pause",
        "/admin/redisjobs/job/": handle.id,
        f"/admin/redisjobs/job/{handle.id}/change/": "Arguments",
        "/admin/redisjobs/worker/": "Workers",
    }
    wrong = []
    for path, words in pages.items():
        answer = client.get(path, follow=True)
        if answer.status_code != 200 or words not in answer.content.decode():
            wrong.append(f"{path}: {answer.status_code}")
    connection.close()
    sys.stdout.write("\n".join(wrong))
    return bool(wrong)
