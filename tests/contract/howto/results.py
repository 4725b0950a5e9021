"""A year of sales, and a worker in a thread."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import Any

from django.test import RequestFactory

from django_redisjobs import JobStatus, Worker, get_job

log = logging.getLogger("shop")
log.addHandler(logging.NullHandler())
told: list[tuple[Any, ...]] = []


def sales_of(year: int, month: int) -> int:
    if year > 2026 or month > 12:
        raise ValueError("Nobody knows the future.")
    return 5 * month


class Page:
    shown: list[dict[str, int]] = []

    @classmethod
    def write(cls, result: dict[str, int]) -> None:
        cls.shown.append(result)


def notify_staff(*words: Any) -> None:
    told.append(words)


def check() -> None:
    worker = Worker(processes=0, verbosity=0)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        check_with_a_worker()
    finally:
        worker.stop()
        thread.join()


def check_with_a_worker() -> None:
    names = globals()
    requests = RequestFactory()
    started = names["start_report"](requests.post("/reports/"))
    job_id = json.loads(started.content)["job"]
    assert get_job(job_id).wait(timeout=60) is JobStatus.SUCCEEDED
    shown = names["show_report"](requests.get("/reports/"), job_id)
    assert json.loads(shown.content) == {
        "status": "succeeded",
        "result": {"total": 390},
        "done": 1.0,
    }
    assert names["show_report"](requests.get("/reports/"), "none").status_code == 404

    assert (names["total_of"](2026), names["total_of"](2027)) == (390, None)
    assert asyncio.run(names["totals_of"](2025, 2026)) == [390, 390]
    assert names["yearly_report"].delay(2026).result(timeout=60) is None
    assert names["touch"].delay(7).result(timeout=60) is None

    good = names["monthly_report"].delay(6)
    assert good.result(timeout=60) == {"total": 30}
    # The same worker runs the callback, before what comes after it.
    assert names["report"].using(queue="low").delay(2026).wait(timeout=60)
    assert Page.shown == [{"total": 30}]
    bad = names["monthly_report"].using(retry=0).delay(13)
    assert bad.wait(timeout=60) is JobStatus.FAILED
    assert names["report"].using(queue="low").delay(2026).wait(timeout=60)
    assert told == [
        ("shop.jobs.monthly_report", (13,), "ValueError: Nobody knows the future.")
    ]
