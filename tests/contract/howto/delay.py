"""An order and some jobs, of which it does not matter what they do."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

from django.utils import timezone

from django_redisjobs import get_queue, job
from django_redisjobs.testing import run_jobs

order = user = SimpleNamespace(pk=7)
tomorrow = timezone.now() + timedelta(days=1)
ran = []


@job
def remind(order_id: int) -> None:
    ran.append(("remind", order_id))


@job
def send_code(user_id: int) -> None:
    ran.append(("send_code", user_id))


def check() -> None:
    assert get_queue("default").counts().scheduled == 3
    assert get_queue("low").counts().scheduled == 2
    run_jobs()
    assert ran == [("send_code", 7)]
    run_jobs(scheduled="2h")
    assert ran[1:] == [("remind", 7)] * 3
    run_jobs(scheduled="24h")
    assert len(ran) == 6
