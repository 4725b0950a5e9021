"""A shop's models and jobs, without a table."""

from __future__ import annotations

from types import SimpleNamespace

from asgiref.sync import async_to_sync
from django.db import connections, transaction

from django_redisjobs import get_queue, job
from django_redisjobs.testing import run_jobs

__all__ = ["Order", "audit", "charge", "entry", "post", "transaction"]

connections["ledger"] = connections["other"]
connections.settings["ledger"] = connections.settings["other"]
order = entry = SimpleNamespace(pk=7)
Order = SimpleNamespace(objects=SimpleNamespace(create=lambda *_: order))


@job
def charge(order_id: int) -> int:
    return order_id


@job
def audit(what: str) -> str:
    return what


@job
def post(entry_id: int) -> int:
    return entry_id


def check() -> None:
    del connections["ledger"], connections.settings["ledger"]
    with transaction.atomic():
        async_to_sync(globals()["order_paid"])(8)
        assert get_queue().depth() == 7
    assert [each.result for each in run_jobs()] == [7, "tried", 7, 7, 1, 2, 3, 8]
