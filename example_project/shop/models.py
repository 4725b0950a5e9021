"""What the shop keeps in its own database."""

from __future__ import annotations

from django.db import models


class Product(models.Model):
    """Something on the shelf."""

    sku = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """One product, ordered by one customer."""

    class Payment(models.TextChoices):
        """How far the money is."""

        WAITING = "waiting", "waiting for payment"
        PAID = "paid", "paid"
        UNPAID = "unpaid", "unpaid"

    customer = models.CharField(max_length=100)
    email = models.EmailField()
    card = models.CharField(max_length=20)
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.PositiveIntegerField(default=1)
    payment = models.CharField(
        max_length=10, choices=Payment.choices, default=Payment.WAITING
    )
    payment_note = models.CharField(max_length=200, blank=True)
    payment_job = models.CharField(max_length=40, blank=True)
    reminded_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Order {self.pk}"

    @property
    def total(self) -> object:
        """The price of all of it, a Decimal."""
        return self.product.price * self.quantity


class Quote(models.Model):
    """What a carrier asks for bringing an order to its customer."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    carrier = models.CharField(max_length=30)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    days = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "carrier"], name="one_quote_each")
        ]

    def __str__(self) -> str:
        return f"{self.carrier} for {self.order}"


class Picture(models.Model):
    """A picture of a product, and its thumbnail once a job has made it."""

    title = models.CharField(max_length=100)
    original = models.ImageField(upload_to="pictures")
    thumbnail = models.ImageField(upload_to="thumbnails", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.title


class CatalogueImport(models.Model):
    """A CSV file of products, and what became of its rows."""

    file = models.FileField(upload_to="imports")
    imported = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list)
    finished_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Import {self.pk}"


class Event(models.Model):
    """A line of the event log. ``key`` makes writing it twice harmless."""

    key = models.CharField(max_length=40, unique=True)
    kind = models.CharField(max_length=30)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}"


class Activity(models.Model):
    """A button somebody pressed, and the ids of the jobs which that started.

    An id is known before the transaction commits, so this row and the jobs appear
    together or not at all.
    """

    title = models.CharField(max_length=120)
    job_ids = models.JSONField(default=list)
    order = models.ForeignKey(
        Order, on_delete=models.CASCADE, null=True, blank=True, related_name="activity"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.title
