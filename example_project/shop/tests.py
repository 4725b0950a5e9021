"""The shop's own tests: what its views start, and what comes of it.

No worker and no Redis: ``captured_jobs()`` collects the jobs, and runs them where a
test wants it, in the test's own transaction.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

from django.core import mail
from django.core.files.base import ContentFile
from django.test import TestCase, override_settings
from django.urls import reverse

from django_redisjobs import JobStatus
from django_redisjobs.testing import CapturedJobs, captured_jobs
from shop import catalogue, gateway, jobs, pictures
from shop.models import CatalogueImport, Event, Order, Picture, Product, Quote


def place_order(test: TestCase) -> tuple[Order, CapturedJobs]:
    """Order something through the site's form."""
    product = Product.objects.get(sku="first-1")
    with captured_jobs() as captured:
        response = test.client.post(
            reverse("shop:place-order"),
            {
                "customer": "Ada",
                "email": "ada@example.com",
                "product": product.pk,
                "quantity": 2,
                "card": "4242",
            },
        )
    order = Order.objects.get()
    test.assertRedirects(response, reverse("shop:order", args=[order.pk]))
    return order, captured


class OrderTests(TestCase):
    def test_an_order_starts_three_jobs(self) -> None:
        order, captured = place_order(self)

        (charge,) = captured.assert_enqueued(
            jobs.charge, args=(order.pk,), queue="high"
        )
        captured.assert_enqueued(jobs.send_confirmation, args=(order,))
        captured.assert_enqueued(jobs.fetch_quotes, args=(order.pk,), queue="default")
        self.assertEqual(len(captured), 3)
        self.assertEqual(order.payment_job, charge.id)

    def test_an_order_that_is_refused_starts_none(self) -> None:
        with captured_jobs() as captured:
            response = self.client.post(
                reverse("shop:place-order"), {"customer": "Ada"}
            )

        self.assertEqual(response.status_code, 400)
        captured.assert_no_jobs()

    def test_what_comes_of_an_order(self) -> None:
        order, captured = place_order(self)
        offer = {"price": "4.90", "days": "2"}

        with patch.object(gateway, "ask", return_value={"payment": "p-1", **offer}):
            captured.run()

        order.refresh_from_db()
        self.assertEqual(order.payment, Order.Payment.PAID)
        self.assertEqual(captured.of(jobs.charge)[0].handle.result(), "p-1")
        self.assertEqual(mail.outbox[0].to, ["ada@example.com"])
        self.assertIn("2 x Cream notebook, 25.00 in all", mail.outbox[0].body)
        quotes = Quote.objects.filter(order=order, price=Decimal("4.90"), days=2)
        self.assertEqual(quotes.count(), len(gateway.CARRIERS))

    def test_a_busy_bank_is_asked_again(self) -> None:
        order, captured = place_order(self)
        answers = [gateway.GatewayBusy("503"), gateway.GatewayBusy("503"), "p-2"]

        with patch.object(gateway, "charge", side_effect=answers):
            captured.run("high", scheduled=True)

        order.refresh_from_db()
        self.assertEqual(order.payment, Order.Payment.PAID)
        attempts = captured.of(jobs.charge)[0].handle.info().attempts
        self.assertEqual(
            [each.outcome for each in attempts], ["failed", "failed", "succeeded"]
        )

    def test_a_card_that_is_refused_is_not_tried_again(self) -> None:
        order, captured = place_order(self)

        with (
            patch.object(gateway, "charge", side_effect=gateway.CardRefused("no")),
            self.assertRaises(gateway.CardRefused),
        ):
            captured.run("high")

        order.refresh_from_db()
        self.assertEqual(order.payment, Order.Payment.UNPAID)
        captured.assert_enqueued(jobs.charge, count=1)
        captured.assert_enqueued(jobs.payment_failed, args=(order.payment_job,))

    def test_a_reminder_waits_for_its_time(self) -> None:
        order, _ = place_order(self)
        with captured_jobs() as captured:
            self.client.post(reverse("shop:remind", args=[order.pk]), {"seconds": 90})

        (reminder,) = captured.assert_enqueued(jobs.send_reminder, args=(order,))
        self.assertEqual(reminder.options, {"run_after": 90.0})
        self.assertEqual(captured.run(), [])
        self.assertEqual(len(captured.run(scheduled="2m")), 1)
        order.refresh_from_db()
        self.assertIsNotNone(order.reminded_at)


class FileTests(TestCase):
    def setUp(self) -> None:
        folder = self.enterContext(tempfile.TemporaryDirectory())
        places = override_settings(
            MEDIA_ROOT=folder, REPORT_DIR=Path(folder, "reports")
        )
        self.enterContext(places)

    def test_a_picture_gets_a_thumbnail(self) -> None:
        name, content = pictures.sample(1, size=(64, 48))
        with captured_jobs(execute=True) as captured:
            upload = ContentFile(content, name=name)
            self.client.post(reverse("shop:upload-picture"), {"file": upload})

        picture = Picture.objects.get()
        captured.assert_enqueued(jobs.make_thumbnail, args=(picture.pk,), count=1)
        self.assertEqual(
            (picture.thumbnail.width, picture.thumbnail.height), (320, 240)
        )

    def test_an_import_keeps_the_good_rows_and_says_how_far_it_is(self) -> None:
        text = catalogue.sample(10, mark="new", bad=[3])
        with captured_jobs(execute=True) as captured:
            upload = ContentFile(text.encode(), name="new.csv")
            self.client.post(reverse("shop:upload-catalogue"), {"file": upload})

        done = CatalogueImport.objects.get()
        self.assertEqual(done.imported, 9)
        self.assertEqual(len(done.problems), 1)
        self.assertEqual(Product.objects.filter(sku__startswith="new-").count(), 9)
        info = captured[0].handle.info()
        self.assertEqual(info.result, {"imported": 9, "problems": 1})
        assert info.progress is not None
        self.assertEqual((info.progress.done, info.progress.total), (10, 10))

    def test_a_report_of_the_month(self) -> None:
        place_order(self)
        with captured_jobs(execute=True) as captured:
            self.client.post(reverse("shop:start-report"))

        table, page = captured[0].handle.result()
        response = self.client.get(reverse("shop:report", args=[table]))
        self.assertContains(response, "Cream notebook,waiting,1,2,25")
        self.assertTrue(page.endswith(".html"))


class EventTests(TestCase):
    def test_many_lines_by_many_jobs(self) -> None:
        with captured_jobs(execute=True) as captured:
            self.client.post(reverse("shop:log-events"), {"count": 50})

        self.assertEqual(len(captured), 50)
        self.assertEqual(Event.objects.count(), 50)

    def test_a_line_that_is_written_twice_is_there_once(self) -> None:
        with captured_jobs(execute=True) as captured:
            handle = jobs.record_event.delay(
                "k", "view", datetime(2026, 1, 1, tzinfo=UTC)
            )

        handle.retry()
        captured.run()

        self.assertEqual(handle.status(), JobStatus.SUCCEEDED)
        self.assertEqual(Event.objects.count(), 1)
