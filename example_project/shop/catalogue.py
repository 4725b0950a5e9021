"""The catalogue as CSV: ``sku,name,price,stock``."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from shop.models import Product

COLUMNS = ("sku", "name", "price", "stock")
ADJECTIVES = ("Lined", "Plain", "Dotted", "Pocket", "Bound", "Marbled", "Rough", "Fine")
NOUNS = ("notebook", "sketchbook", "ledger", "envelope set", "ink", "pencil box")

Row = dict[str, str]


def read(file: Iterable[str]) -> list[Row]:
    """All rows of a CSV file."""
    return list(csv.DictReader(file))


def save(row: Row) -> str:
    """Create or update the product of a row; returns what is wrong with it, or ""."""
    missing = [name for name in COLUMNS if not row.get(name)]
    if missing:
        return f"no {', '.join(missing)}"
    try:
        price, stock = Decimal(row["price"]), int(row["stock"])
    except (InvalidOperation, ValueError):
        return f"price {row['price']!r} or stock {row['stock']!r} is not a number"
    if not price.is_finite() or price < 0 or stock < 0:
        return "price and stock cannot be below 0"
    Product.objects.update_or_create(
        sku=row["sku"],
        defaults={"name": row["name"], "price": price, "stock": stock},
    )
    return ""


def sample(rows: int, mark: str, bad: Iterable[int] = ()) -> str:
    """A CSV text of so many rows; the rows numbered in ``bad`` have no usable price."""
    spoiled = set(bad)
    lines = [",".join(COLUMNS)]
    for number in range(rows):
        name = (
            f"{ADJECTIVES[number % len(ADJECTIVES)]} {NOUNS[number % len(NOUNS)]} "
            f"no. {number + 1}"
        )
        price = "call us" if number in spoiled else f"{3 + number % 40}.90"
        lines.append(f"{mark}-{number:04},{name},{price},{number % 25}")
    return "\n".join(lines) + "\n"
