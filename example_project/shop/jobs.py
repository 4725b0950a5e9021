"""What the shop does behind its customers' backs.

Views call ``.delay(...)`` on these; ``manage.py runworker`` runs them. Jobs run at
least once, so each is written such that a second run does no harm.
"""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
from datetime import date, datetime
from pathlib import Path

from django.core.mail import send_mail
from django.utils import timezone

from django_redisjobs import Retry, current_job, job
from shop import catalogue, gateway, pictures, reports
from shop.models import CatalogueImport, Event, Order, Picture, Quote

mail_troubles = Retry(max=3, base=1, on=(OSError, smtplib.SMTPException))


@job("high", timeout="30s", retry=mail_troubles)
def send_confirmation(order: Order) -> None:
    """Tell the customer what was ordered. The order arrives as a fresh row."""
    send_mail(
        subject=f"Your order {order.pk}",
        message=(
            f"Dear {order.customer},\n\nthank you for {order.quantity} x "
            f"{order.product.name}, {order.total} in all.\n"
        ),
        from_email=None,
        recipient_list=[order.email],
    )


@job(
    "high",
    timeout="20s",
    retry=Retry(
        max=4,
        base=0.25,
        cap=2,
        on=(gateway.GatewayBusy, OSError),
        give_up_on=(gateway.CardRefused,),
    ),
    on_success="shop.jobs.payment_arrived",
    on_failure="shop.jobs.payment_failed",
)
def charge(order_id: int) -> str:
    """Take the money; the gateway knows the order's number and never takes it twice."""
    order = Order.objects.select_related("product").get(pk=order_id)
    return gateway.charge(
        reference=f"order-{order.pk}", card=order.card, amount=str(order.total)
    )


@job("high")
def payment_arrived(job_id: str) -> None:
    """The callback of a successful ``charge``."""
    Order.objects.filter(payment_job=job_id).update(
        payment=Order.Payment.PAID, payment_note="The payment went through."
    )


@job("high")
def payment_failed(job_id: str) -> None:
    """The callback of a ``charge`` that failed for good."""
    Order.objects.filter(payment_job=job_id).update(
        payment=Order.Payment.UNPAID, payment_note="The payment did not go through."
    )


@job(timeout="30s")
async def fetch_quotes(order_id: int) -> dict[str, str]:
    """Ask all carriers at the same time what they want for this order."""
    answers = await asyncio.gather(
        *(asyncio.to_thread(gateway.quote, name, order_id) for name in gateway.CARRIERS)
    )
    for answer in answers:
        await Quote.objects.aupdate_or_create(
            order_id=order_id,
            carrier=answer.carrier,
            defaults={"price": answer.price, "days": answer.days},
        )
    return {answer.carrier: str(answer.price) for answer in answers}


@job("high", timeout="30s", retry=mail_troubles)
def send_reminder(order: Order) -> None:
    """Remind a customer of an order that has not been paid."""
    send_mail(
        subject=f"Order {order.pk} is waiting for you",
        message=f"Dear {order.customer},\n\nwe kept your {order.product.name}.\n",
        from_email=None,
        recipient_list=[order.email],
    )
    Order.objects.filter(pk=order.pk).update(reminded_at=timezone.now())


@job(timeout="2m")
def make_thumbnail(picture_id: int) -> str:
    """Make the small version of a picture."""
    picture = Picture.objects.get(pk=picture_id)
    with picture.original.open() as original:
        name, content = pictures.thumbnail(original)
    picture.thumbnail.save(name, content)
    return picture.thumbnail.name


@job(timeout="10m")
def import_catalogue(import_id: int) -> dict[str, int]:
    """Read a CSV file of products; bad rows are reported, good ones are kept."""
    upload = CatalogueImport.objects.get(pk=import_id)
    running = current_job()
    imported, problems = 0, []
    with upload.file.open("r") as file:
        rows = catalogue.read(file)
    for done, row in enumerate(rows, start=1):
        problem = catalogue.save(row)
        if problem:
            problems.append(f"line {done + 1}: {problem}")
        else:
            imported += 1
        if running:
            running.progress(done, len(rows), f"{len(problems)} bad rows so far")
    upload.imported, upload.problems = imported, problems
    upload.finished_at = timezone.now()
    upload.save()
    return {"imported": imported, "problems": len(problems)}


@job("low")
def monthly_report(month: date) -> list[str]:
    """Write the month's sales as CSV and as a page; returns the files' names."""
    return [path.name for path in reports.write(month)]


@job("low")
def record_event(key: str, kind: str, at: datetime) -> None:
    """Write one line of the event log."""
    Event.objects.get_or_create(key=key, defaults={"kind": kind, "at": at})


@job("low", timeout="1m")
def render_poster(marks: str) -> None:
    """Stand for a native library that takes its whole process with it.

    Each start leaves a line in the file ``marks``, which shows how many there were.
    """
    with Path(marks).open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)
