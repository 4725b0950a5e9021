"""A small shop: what the jobs of the page read, write and call."""
# ruff: noqa: DJ008 - nobody looks at them

from __future__ import annotations

import csv
import smtplib
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from django.core import mail
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from django.core.mail import send_mail
from django.db import models
from django.utils import timezone

from django_redisjobs import Retry, current_job, job
from django_redisjobs.testing import run_jobs

__all__ = ["Retry", "current_job", "send_mail", "smtplib", "timezone"]

storage = InMemoryStorage()


class Product(models.Model):
    name = models.CharField(max_length=20)


class Order(models.Model):
    class Payment(models.TextChoices):
        PAID = "paid"
        UNPAID = "unpaid"

    customer = models.CharField(max_length=20)
    email = models.EmailField()
    card = models.CharField(max_length=20)
    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    quantity = models.IntegerField()
    payment = models.CharField(max_length=10)
    payment_note = models.CharField(max_length=100)
    payment_job = models.CharField(max_length=40)

    @property
    def total(self) -> int:
        return 5 * self.quantity


class Subscriber(models.Model):
    name = models.CharField(max_length=20)
    email = models.EmailField()
    active = models.BooleanField(default=True)


class Issue(models.Model):
    subject = models.CharField(max_length=20)
    body = models.TextField()


class Delivery(models.Model):
    issue = models.ForeignKey(Issue, on_delete=models.CASCADE)
    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE)


class Event(models.Model):
    key = models.CharField(max_length=40, unique=True)
    kind = models.CharField(max_length=20)
    at = models.DateTimeField()


class Picture(models.Model):
    original = models.FileField(storage=storage)
    thumbnail = models.FileField(storage=storage)


class CatalogueImport(models.Model):
    file = models.FileField(storage=storage)
    imported = models.IntegerField(default=0)
    problems = models.JSONField(default=list)
    finished_at = models.DateTimeField(null=True)


class GatewayBusy(Exception): ...


class CardRefused(Exception): ...


def take(reference: str, card: str, amount: str) -> str:
    if card != "4242":
        raise CardRefused(card)
    return f"{reference}: {amount}"


@job("high")
def payment_arrived(job_id: str) -> None:
    Order.objects.filter(payment_job=job_id).update(payment=Order.Payment.PAID)


gateway = SimpleNamespace(GatewayBusy=GatewayBusy, CardRefused=CardRefused, charge=take)
pictures = SimpleNamespace(thumbnail=lambda file: ("small", ContentFile(file.read(1))))
reports = SimpleNamespace(write=lambda month: [Path(f"sales-{month:%Y-%m}.csv")])
catalogue = SimpleNamespace(
    read=lambda file: list(csv.DictReader(file)),
    save=lambda row: "" if row["price"].isdigit() else "no price",
)


def run(name: str, *args: Any) -> Any:
    handle = globals()[name].delay(*args)
    run_jobs()
    return handle.result(timeout=0)


def check() -> None:
    product = Product.objects.create(name="ink")
    ada, ben = (
        Order.objects.create(
            customer=name, email="a@example.com", card=card, product=product, quantity=2
        )
        for name, card in (("Ada", "4242"), ("Ben", "4000"))
    )
    globals()["send_confirmation"](ada)
    assert "2 x ink, 10 in all" in mail.outbox.pop().body

    issue = Issue.objects.create(subject="May", body="News")
    for name in ("Cleo", "Dan"):
        Subscriber.objects.create(name=name, email=f"{name}@example.com")
    assert run("send_issue", issue.pk) == 2
    run("send_issue", issue.pk)
    assert sorted(each.to[0][:4] for each in mail.outbox) == ["Cleo", "Dan@"]

    for order in (ada, ben):
        order.payment_job = globals()["charge"].delay(order.pk).id
        order.save()
    run_jobs(raise_errors=False)
    paid = Order.objects.order_by("pk").values_list("payment", flat=True)
    assert list(paid) == ["paid", "unpaid"]

    for _ in range(2):
        run("record_event", "key", "view", datetime(2026, 5, 1, tzinfo=UTC))
    assert Event.objects.count() == 1

    picture = Picture.objects.create(original=ContentFile(b"large", name="large"))
    assert storage.open(run("make_thumbnail", picture.pk)).read() == b"l"

    assert run("monthly_report", date(2026, 5, 1)) == ["sales-2026-05.csv"]

    upload = CatalogueImport.objects.create(
        file=ContentFile("price\n3\nnone\n4\n", name="catalogue.csv")
    )
    assert run("import_catalogue", upload.pk) == {"imported": 2, "problems": 1}
