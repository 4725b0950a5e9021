"""The newsletter's own tests, on a server within the process."""

from __future__ import annotations

from unittest.mock import patch

from django.core import mail
from django.test import TestCase
from django.urls import reverse

from django_redisjobs import JobStatus, get_queue
from django_redisjobs.testing import memory_server, run_jobs
from newsletter import jobs
from newsletter.models import Delivery, Issue, Subscriber


@memory_server()
class IssueTests(TestCase):
    def setUp(self) -> None:
        self.readers = Subscriber.objects.filter(active=True).count()

    def send(self) -> Issue:
        form = {"subject": "News", "body": "Paper."}
        self.client.post(reverse("newsletter:send"), form)
        return Issue.objects.get()

    def test_every_active_reader_gets_it(self) -> None:
        self.send()

        outcomes = run_jobs()

        self.assertEqual(outcomes[0].result, self.readers)
        self.assertEqual(len(outcomes), 1 + self.readers)
        self.assertEqual(len(mail.outbox), self.readers)

    def test_deliveries_wait_in_the_queue_for_what_can_wait(self) -> None:
        self.send()

        run_jobs("default")

        self.assertEqual(get_queue("low").depth(), self.readers)
        self.assertEqual(mail.outbox, [])

    def test_a_delivery_that_runs_again_sends_no_second_letter(self) -> None:
        issue = self.send()
        run_jobs()
        reader = Delivery.objects.filter(issue=issue).earliest("pk").subscriber

        handle = jobs.deliver.delay(issue.pk, reader.pk)
        run_jobs()

        self.assertEqual(handle.status(), JobStatus.SUCCEEDED)
        self.assertEqual(len(mail.outbox), self.readers)

    def test_a_mail_server_that_is_away_is_tried_again(self) -> None:
        issue = self.send()
        reader = Subscriber.objects.filter(active=True).earliest("pk")
        run_jobs("default")
        away = patch.object(jobs, "send_mail", side_effect=ConnectionRefusedError)

        with away, self.assertRaises(ConnectionRefusedError):
            run_jobs("low")
        self.assertFalse(Delivery.objects.filter(issue=issue).exists())
        run_jobs(scheduled="10s")

        self.assertTrue(
            Delivery.objects.filter(issue=issue, subscriber=reader).exists()
        )
        self.assertEqual(len(mail.outbox), self.readers)
