"""A job that has got another name."""

from __future__ import annotations

from django_redisjobs import get_queue, job
from django_redisjobs.testing import run_jobs


@job
def charge_order(order_id: int) -> int:
    return order_id


def check() -> None:
    get_queue().enqueue("shop.jobs.charge", 7)
    assert [each.result for each in run_jobs()] == [None, 7]
