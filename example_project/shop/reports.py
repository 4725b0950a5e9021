"""The monthly report: what was ordered, what was paid."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

from django.conf import settings
from django.db.models import Count, DecimalField, F, QuerySet, Sum
from django.template.loader import render_to_string

from shop.models import Order

Line = dict[str, object]


def sales(month: date) -> QuerySet[Order, Line]:
    """A line for each product and payment state of the month."""
    return (
        Order.objects.filter(created_at__year=month.year, created_at__month=month.month)
        .values("product__name", "payment")
        .annotate(
            orders=Count("pk"),
            pieces=Sum("quantity"),
            amount=Sum(
                F("product__price") * F("quantity"),
                output_field=DecimalField(max_digits=12, decimal_places=2),
            ),
        )
        .order_by("product__name", "payment")
    )


def write(month: date) -> list[Path]:
    """Write ``sales-YYYY-MM.csv`` and ``.html``; readers never see half a file."""
    settings.REPORT_DIR.mkdir(parents=True, exist_ok=True)
    lines = list(sales(month))
    names = ["product__name", "payment", "orders", "pieces", "amount"]
    target = settings.REPORT_DIR / f"sales-{month:%Y-%m}.csv"
    draft = target.with_suffix(".part")
    with draft.open("w", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(lines)
    draft.replace(target)
    page = target.with_suffix(".html")
    draft = page.with_suffix(".part")
    draft.write_text(
        render_to_string("shop/report.html", {"month": month, "lines": lines})
    )
    draft.replace(page)
    return [target, page]
