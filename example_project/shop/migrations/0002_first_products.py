"""Something on the shelf, so that a new shop can sell at once."""

from __future__ import annotations

from decimal import Decimal

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SHELF = [
    ("Cream notebook", "12.50"),
    ("Bottle of black ink", "8.90"),
    ("Box of envelopes", "6.40"),
    ("Fountain pen", "39.00"),
]


def fill(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Create the first products."""
    product = apps.get_model("shop", "Product")
    for number, (name, price) in enumerate(SHELF, start=1):
        product.objects.create(
            sku=f"first-{number}", name=name, price=Decimal(price), stock=100
        )


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
