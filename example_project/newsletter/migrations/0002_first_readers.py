"""Some readers, so that a new newsletter reaches somebody."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

NAMES = [
    "Ada",
    "Ben",
    "Cleo",
    "Dan",
    "Eve",
    "Finn",
    "Gwen",
    "Hugo",
    "Iris",
    "Jonas",
    "Kim",
    "Lea",
    "Max",
    "Nora",
    "Otto",
]


def fill(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Create readers; the last two have unsubscribed."""
    subscriber = apps.get_model("newsletter", "Subscriber")
    for number, name in enumerate(NAMES * 2):
        subscriber.objects.create(
            name=name,
            email=f"{name.lower()}{number}@example.com",
            active=number < len(NAMES) * 2 - 2,
        )


class Migration(migrations.Migration):
    dependencies = [("newsletter", "0001_initial")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
