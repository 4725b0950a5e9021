"""A site of which programs want to know how its jobs are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import environ
from django.conf import settings
from django.test import Client, RequestFactory, override_settings

import django_redisjobs
from django_redisjobs import get_queue, job

env = environ.Env()


@job(queue="high")
def charge(order_id: int) -> None: ...


def check() -> None:
    charge.delay(7)
    token = "a token for this page"
    own = {**settings.REDISJOBS, "STATS_TOKEN": token, "OUTBOX": True}
    with override_settings(REDISJOBS=own, ROOT_URLCONF="shop.jobs"):
        headers = {"Authorization": f"Bearer {token}"}
        stats = Client().get("/jobs/stats.json", headers=headers).json()
        metrics = Client().get("/jobs/metrics", headers=headers).content.decode()
    # What the page shows has the fields and the metrics that there are.
    folder = Path(django_redisjobs.__file__).resolve().parent.parent
    page = (folder / "docs/how-to/monitor.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    example = json.loads(shown)
    assert example.keys() == stats.keys()
    assert example["queues"][0].keys() == stats["queues"][0].keys()
    assert example["workers"].keys() == stats["workers"].keys()
    assert example["outbox"][0].keys() == stats["outbox"][0].keys()
    families = set(re.findall(r"^# TYPE (\w+)", metrics, re.MULTILINE))
    assert set(re.findall(r"^\| `(redisjobs_\w+)`", page, re.MULTILINE)) == families
    words = re.findall(r"\b(redisjobs_\w+?)(?:_bucket|_sum|_count)?\b", page)
    assert set(words) == families
    # The view of the page's own.
    ask = RequestFactory().get("/")
    assert globals()["jobs_in_time"](ask).status_code == 200
    globals()["LIMITS"]["high"] = -1
    assert json.loads(globals()["jobs_in_time"](ask).content)["late"].keys() == {"high"}
    assert get_queue("high").depth() == 1
