"""An order and some jobs, of which it does not matter what they do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from django_redisjobs import JobStatus, get_queue, job
from django_redisjobs.testing import run_jobs

order = user = SimpleNamespace(pk=7)
tomorrow = datetime.now(UTC) + timedelta(days=1)
ran = []


@job
def remind(order_id: int) -> None:
    ran.append(("remind", order_id))


@job
def send_code(user_id: int) -> None:
    ran.append(("send_code", user_id))


def check() -> None:
    assert get_queue("default").counts().scheduled == 3
    assert get_queue("low").depth() == 2
    assert globals()["reminder"].status() is JobStatus.CANCELLED
    run_jobs()
    # Those of the queue "low" were told to run now.
    assert ran == [("send_code", 7), ("remind", 7), ("remind", 7)]
    run_jobs(scheduled="2h")
    assert ran[3:] == [("remind", 7)] * 2
    run_jobs(scheduled="24h")
    assert len(ran) == 6
