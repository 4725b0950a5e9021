"""A shop with an outbox, while Redis is away and when it is back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.db import transaction
from django.test import override_settings

from django_redisjobs import get_queue, job
from django_redisjobs import outbox as outboxes
from django_redisjobs.worker.relay import relay

__all__ = ["Order", "charge", "transaction"]

order = SimpleNamespace(pk=7)
Order = SimpleNamespace(objects=SimpleNamespace(create=lambda: order))


@job
def charge(order_id: int) -> int:
    return order_id


def check() -> None:
    there: dict[str, Any] = {**settings.REDISJOBS, "OUTBOX": True}
    sent = get_queue().depth()
    away = {**there, "URL": "unix:///nonexistent/redis.sock"}
    with override_settings(REDISJOBS=away), transaction.atomic():
        charge.delay(order.pk)
    with override_settings(REDISJOBS=there):
        assert outboxes.waiting()[0].jobs == 1
        outboxes._model().objects.update(created_at=outboxes._ago(60))
        assert relay("default") == 1
        assert get_queue().depth() == sent + 1
        assert not outboxes.waiting()[0].jobs
