"""A payment gateway that knows its keys, and a printer of letters that can be asked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django_redisjobs import JobHandle, current_job
from django_redisjobs.testing import run_jobs


def total_of(order_id: int) -> Decimal:
    return Decimal(order_id)


class Gateway:
    payments: dict[str, str] = {}

    def charge(self, order_id: int, *, idempotency_key: str) -> str:
        return self.payments.setdefault(idempotency_key, f"payment {order_id}")


class Letters:
    sent: list[str] = []
    questions = 0

    def was_sent(self, reference: str) -> bool:
        self.questions += 1
        return reference in self.sent

    def send(self, reference: str) -> None:
        self.sent.append(reference)
        this = current_job()
        assert this is not None
        if this.run == 1:
            raise ConnectionError("sent, but the answer was lost")


gateway, letters = Gateway(), Letters()


def run_twice(function: Any, *args: Any) -> JobHandle[Any]:
    handle: JobHandle[Any] = function.delay(*args)
    run_jobs()
    handle.retry()
    run_jobs()
    return handle


def check() -> None:
    names = globals()
    account = names["Account"].objects.create()

    first, second = (run_twice(names["write_invoice"], 7) for _ in range(2))
    assert first.result(timeout=0) == second.result(timeout=0)
    assert names["Invoice"].objects.get().total == 7

    assert (
        run_twice(names["pay_commission"], account.pk, 500).result(timeout=0) is False
    )
    account.refresh_from_db()
    assert account.cents == 500

    run_twice(names["charge"], 7)
    assert gateway.payments == {"order-7": "payment 7"}

    names["send_statement"].delay(1, "May")
    run_jobs(raise_errors=False)
    assert letters.questions == 0
    run_jobs(scheduled=True)
    assert (letters.sent, letters.questions) == (["statement-1-May"], 1)
