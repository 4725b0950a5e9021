"""What the demo does, chapter by chapter, and how it must come out.

A chapter sends its work through the site's own forms, tells how far it is, and at the
end names every effect that is not as it should be.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.utils import timezone
from PIL import Image

from demo.stage import Stage
from django_redisjobs import JobStatus, get_job
from newsletter.models import Delivery, Issue, Subscriber
from shop import catalogue, mailbox, pictures
from shop.models import Activity, CatalogueImport, Event, Order, Picture, Product

Problems = Iterator[str]
Steps = tuple[int, int]


class Chapter(Protocol):
    """One piece of the demo."""

    title: str
    notes: dict[str, str]
    """A remark for the table, by the name of a job function."""

    def send(self, stage: Stage) -> None:
        """Press the button."""

    def steps(self) -> Steps:
        """How many effects are there, of how many."""

    def problems(self) -> Problems:
        """Each effect that is not as it should be."""


def started() -> Activity:
    """What the last button started."""
    return Activity.objects.latest("pk")


class Orders:
    """Orders with good, moody and bad cards."""

    title = "Orders: mail, payment, quotes"
    customers = (
        ("Ada", "4242"),
        ("Ben", "5105"),
        ("Cleo", "4000"),
        ("Dan", "4242"),
        ("Eve", "3714"),
        ("Finn", "5105"),
    )
    expected = {"4242": "paid", "5105": "paid", "4000": "unpaid", "3714": "unpaid"}

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.notes: dict[str, str] = {}

    def send(self, stage: Stage) -> None:
        self.attempts = stage.gateway.attempts
        self.paid = stage.gateway.paid
        product = Product.objects.order_by("pk")[0]
        for name, card in self.customers:
            stage.visitor.post(
                "/orders/",
                {
                    "customer": name,
                    "email": f"{name.lower()}.{self.mark}@example.com",
                    "product": str(product.pk),
                    "quantity": "2",
                    "card": card,
                },
            )

    def orders(self) -> list[Order]:
        return list(
            Order.objects.filter(email__endswith=f".{self.mark}@example.com")
            .prefetch_related("quote_set")
            .order_by("pk")
        )

    def steps(self) -> Steps:
        orders = self.orders()
        settled = sum(order.payment != Order.Payment.WAITING for order in orders)
        quotes = sum(len(order.quote_set.all()) for order in orders)
        mails = len(self.confirmed())
        return settled + quotes + mails, 5 * len(self.customers)

    def confirmed(self) -> set[str]:
        """Who got a confirmation."""
        return {
            letter.to
            for letter in mailbox.letters()
            if letter.subject.startswith("Your order") and f".{self.mark}@" in letter.to
        }

    def problems(self) -> Problems:
        orders = self.orders()
        if len(orders) != len(self.customers):
            yield f"{len(orders)} orders instead of {len(self.customers)}"
        for order in orders:
            if order.payment != self.expected[order.card]:
                yield f"{order} with card {order.card} is {order.payment}"
            if (order.payment == "paid") != (f"order-{order.pk}" in self.paid):
                yield f"{order} is {order.payment}, and the gateway disagrees"
            if order.email not in self.confirmed():
                yield f"no confirmation reached {order.email}"
            prices = {quote.price for quote in order.quote_set.all()}
            if prices != {Decimal("14.50"), Decimal("6.20"), Decimal("2.90")}:
                yield f"{order} has the quotes {prices}"
        yield from self.wrong_attempts(orders)
        outcomes = Counter(order.payment for order in orders)
        self.notes["charge"] = (
            f"{outcomes['paid']} paid, {outcomes['unpaid']} unpaid; a busy bank is "
            "asked again, a refused card is not"
        )
        self.notes["payment_arrived"] = "on_success of charge"
        self.notes["payment_failed"] = "on_failure of charge"
        self.notes["send_confirmation"] = f"{len(self.confirmed())} letters arrived"
        self.notes["fetch_quotes"] = "async: three carriers asked at the same time"

    def wrong_attempts(self, orders: list[Order]) -> Problems:
        """A busy bank is asked again; a refused card is not."""
        at_least = {"4242": 1, "5105": 3, "4000": 1, "3714": 5}
        for order in orders:
            asked = self.attempts[f"order-{order.pk}"]
            if asked < at_least[order.card]:
                yield f"the gateway was asked {asked} times for {order} ({order.card})"


class Pictures:
    """Uploads of real pictures."""

    title = "Thumbnails"
    count = 6

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.notes: dict[str, str] = {}

    def send(self, stage: Stage) -> None:
        for number in range(self.count):
            name, content = pictures.sample(number)
            stage.visitor.post(
                "/pictures/", files={"file": (f"{self.mark}-{name}", content)}
            )

    def steps(self) -> Steps:
        uploaded = Picture.objects.filter(title__startswith=f"{self.mark}-")
        return uploaded.exclude(thumbnail="").count(), self.count

    def problems(self) -> Problems:
        for picture in Picture.objects.filter(title__startswith=f"{self.mark}-"):
            if not picture.thumbnail:
                yield f"{picture} has no thumbnail"
                continue
            with Image.open(picture.thumbnail.path) as image:
                if image.size != pictures.THUMBNAIL or image.format != "JPEG":
                    yield f"the thumbnail of {picture}: {image.format}, {image.size}"
        width, height = pictures.THUMBNAIL
        self.notes["make_thumbnail"] = f"JPEGs of {width} x {height}"


class Import:
    """A catalogue with some bad rows."""

    title = "CSV import"
    rows, bad = 400, (7, 8, 99, 250, 399)

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.notes: dict[str, str] = {}

    def send(self, stage: Stage) -> None:
        text = catalogue.sample(self.rows, self.mark, self.bad)
        stage.visitor.post(
            "/imports/", files={"file": (f"{self.mark}.csv", text.encode())}
        )
        self.activity = started()

    def steps(self) -> Steps:
        progress = get_job(self.activity.job_ids[0]).info().progress
        return int(progress.done) if progress else 0, self.rows

    def problems(self) -> Problems:
        upload = CatalogueImport.objects.latest("pk")
        products = Product.objects.filter(sku__startswith=f"{self.mark}-").count()
        good = self.rows - len(self.bad)
        if (products, upload.imported) != (good, good):
            yield f"{products} products and {upload.imported} counted, not {good}"
        lines = {problem.partition(":")[0] for problem in upload.problems}
        if lines != {f"line {number + 2}" for number in self.bad}:
            yield f"the bad rows reported are {sorted(lines)}"
        result = get_job(self.activity.job_ids[0]).result(timeout=0)
        if result != {"imported": good, "problems": len(self.bad)}:
            yield f"the import's result is {result}"
        self.notes["import_catalogue"] = (
            f"{good} products in, {len(self.bad)} bad rows reported"
        )


class Report:
    """The monthly report."""

    title = "Monthly report"

    def __init__(self, mark: str) -> None:
        self.notes: dict[str, str] = {}

    def send(self, stage: Stage) -> None:
        stage.visitor.post("/reports/")
        self.handle = get_job(started().job_ids[0])

    def steps(self) -> Steps:
        return int(self.handle.status() == JobStatus.SUCCEEDED), 1

    def problems(self) -> Problems:
        names = self.handle.result(timeout=0)
        month = timezone.localdate().strftime("%Y-%m")
        if names != [f"sales-{month}.csv", f"sales-{month}.html"]:
            yield f"the report's result is {names}"
            return
        table, page = (settings.REPORT_DIR / name for name in names)
        with table.open(newline="") as file:
            lines = list(csv.DictReader(file))
        if not lines or not all(int(line["orders"]) > 0 for line in lines):
            yield f"{table} has the lines {lines}"
        if "<h1>Sales of" not in page.read_text():
            yield f"{page} is no report"
        self.notes["monthly_report"] = f"{', '.join(names)}"


class Events:
    """A bulk of small jobs."""

    title = "Event log"
    count = 500

    def __init__(self, mark: str) -> None:
        self.notes: dict[str, str] = {}

    def send(self, stage: Stage) -> None:
        stage.visitor.post("/events/", {"count": str(self.count)})
        title = started().title
        self.batch = title[title.index("(") + 1 : -1]

    def steps(self) -> Steps:
        written = Event.objects.filter(key__startswith=f"{self.batch}-").count()
        return written, self.count

    def problems(self) -> Problems:
        written, expected = self.steps()
        if written != expected:
            yield f"{written} events instead of {expected}"
        self.notes["record_event"] = f"{written} lines, sent in one round trip"


class Newsletter:
    """An issue for all readers."""

    title = "Newsletter"

    def __init__(self, mark: str) -> None:
        self.subject = f"New paper has arrived ({mark})"
        self.notes: dict[str, str] = {}

    def send(self, stage: Stage) -> None:
        stage.visitor.post(
            "/newsletter/send/", {"subject": self.subject, "body": "Cream, A5."}
        )

    def readers(self) -> set[str]:
        active = Subscriber.objects.filter(active=True)
        return set(active.values_list("email", flat=True))

    def steps(self) -> Steps:
        sent = Delivery.objects.filter(issue__subject=self.subject).count()
        return sent, len(self.readers())

    def problems(self) -> Problems:
        letters = mailbox.letters()
        arrived = {letter.to for letter in letters if letter.subject == self.subject}
        if arrived != self.readers():
            yield f"the issue reached {len(arrived)}, not {len(self.readers())} readers"
        if Issue.objects.filter(subject=self.subject).count() != 1:
            yield "the issue is not there once"
        self.notes["send_issue"] = "starts a delivery for each reader"
        self.notes["deliver"] = f"{len(arrived)} letters arrived"


class Reminder:
    """A job for later."""

    title = "Reminder in 4 seconds"
    seconds = 4

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.notes: dict[str, str] = {}

    def send(self, stage: Stage) -> None:
        self.order = Order.objects.latest("pk")
        self.sent_at = timezone.now()
        stage.visitor.post(
            f"/orders/{self.order.pk}/remind/", {"seconds": str(self.seconds)}
        )

    def letters(self) -> list[mailbox.Letter]:
        return [
            letter
            for letter in mailbox.letters()
            if letter.subject == f"Order {self.order.pk} is waiting for you"
            and letter.arrived_at > self.sent_at
        ]

    def steps(self) -> Steps:
        return min(1, len(self.letters())), 1

    def problems(self) -> Problems:
        letters = self.letters()
        if not letters:
            yield "the reminder never came"
            return
        after = min(letter.arrived_at for letter in letters) - self.sent_at
        if after < timedelta(seconds=self.seconds):
            yield f"the reminder came after {after}, too early"
        self.notes["send_reminder"] = f"came after {after.total_seconds():.1f} s"


class Poster:
    """A job that kills its worker."""

    title = "A job that kills its worker"
    starts = 3

    def __init__(self, mark: str) -> None:
        self.notes: dict[str, str] = {}

    def send(self, stage: Stage) -> None:
        stage.visitor.post("/posters/")
        activity = started()
        self.handle = get_job(activity.job_ids[0])
        self.marks = settings.DATA_DIR / "posters" / activity.title.split()[-1]

    def runs(self) -> int:
        return len(self.marks.read_text().split()) if Path(self.marks).exists() else 0

    def steps(self) -> Steps:
        ended = self.handle.status() == JobStatus.FAILED
        return self.runs() + ended, self.starts + 1

    def problems(self) -> Problems:
        info = self.handle.info()
        if info.status != JobStatus.FAILED:
            yield f"the job that kills its worker is {info.status}"
        if "crashed" not in (info.error or ""):
            yield f"its error does not say that it crashed: {info.error}"
        if self.runs() != self.starts:
            yield f"it was started {self.runs()} times, not {self.starts}"
        self.notes["render_poster"] = f"stopped: {info.error}"


def all_chapters(mark: str) -> list[Chapter]:
    """The demo, in its order. ``mark`` tells this run's data from an earlier one's."""
    return [
        kind(mark)
        for kind in (
            Orders,
            Reminder,
            Pictures,
            Poster,
            Import,
            Newsletter,
            Events,
            Report,
        )
    ]
