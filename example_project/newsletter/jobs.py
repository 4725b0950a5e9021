"""Sending an issue: one job that starts a job for each reader."""

from __future__ import annotations

import smtplib

from django.core.mail import send_mail

from django_redisjobs import Retry, job
from newsletter.models import Delivery, Issue, Subscriber


@job
def send_issue(issue_id: int) -> int:
    """Start a delivery for every active subscriber; all of them in one round trip."""
    readers = Subscriber.objects.filter(active=True).order_by("pk")
    deliveries = deliver.delay_many([(issue_id, reader.pk) for reader in readers])
    return len(deliveries)


@job("low", retry=Retry(max=3, base=1, on=(OSError, smtplib.SMTPException)))
def deliver(issue_id: int, subscriber_id: int) -> None:
    """Send an issue to one subscriber, unless that has happened already."""
    issue = Issue.objects.get(pk=issue_id)
    reader = Subscriber.objects.get(pk=subscriber_id)
    if Delivery.objects.filter(issue=issue, subscriber=reader).exists():
        return
    send_mail(
        subject=issue.subject,
        message=f"Hello {reader.name},\n\n{issue.body}\n",
        from_email=None,
        recipient_list=[reader.email],
    )
    Delivery.objects.create(issue=issue, subscriber=reader)
