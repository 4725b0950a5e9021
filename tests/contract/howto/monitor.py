"""A site of which programs want to know how its jobs are."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from unittest import mock

import environ
from django.conf import settings
from django.test import Client, RequestFactory, override_settings

import django_redisjobs
from django_redisjobs import Worker, get_queue, job, signals

env = environ.Env()


# The tests have no Sentry. That the page's code suits it was seen by running it.
sentry = mock.MagicMock()
for name in (
    "sentry_sdk",
    "sentry_sdk.integrations",
    "sentry_sdk.integrations.logging",
):
    sys.modules[name] = sentry


@job(queue="high")
def charge(order_id: int) -> None: ...


@job(retry=0)
def refuse() -> None:
    raise ValueError("no")


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
    check_sentry()


def check_sentry() -> None:
    sentry.ignore_logger.assert_called_once_with("redisjobs.job")
    refuse.delay()
    try:
        Worker(["default"], processes=0, burst=True, verbosity=0).run()
    finally:
        for name in [name for name in sys.modules if sys.modules[name] is sentry]:
            del sys.modules[name]
        signals.job_failed.disconnect(globals()["report_failure"])
        signals.worker_stopped.disconnect(globals()["send_reports"])
    (call,) = sentry.capture_exception.call_args_list
    assert isinstance(call.args[0], ValueError)
    assert call.args[0].__traceback__
    sentry.flush.assert_called_once_with()
