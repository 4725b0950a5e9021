"""The outbox: jobs that a transaction has made, until Redis has them."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("redisjobs", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="OutboxEntry",
            fields=[
                (
                    "id",
                    models.CharField(
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                        verbose_name="job",
                    ),
                ),
                ("queue", models.CharField(max_length=64, verbose_name="queue")),
                ("body", models.TextField(verbose_name="call")),
                ("priority", models.IntegerField(default=0, verbose_name="priority")),
                (
                    "delay_ms",
                    models.BigIntegerField(null=True, verbose_name="delay"),
                ),
                ("due_ms", models.BigIntegerField(null=True, verbose_name="due")),
                (
                    "ttl_ms",
                    models.BigIntegerField(null=True, verbose_name="expires after"),
                ),
                (
                    "callbacks",
                    models.SmallIntegerField(default=0, verbose_name="callbacks"),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=Now(), verbose_name="made"),
                ),
                (
                    "taken_by",
                    models.CharField(
                        default="", max_length=40, verbose_name="taken by"
                    ),
                ),
                ("taken_at", models.DateTimeField(null=True, verbose_name="taken")),
            ],
            options={
                "verbose_name": "job to be sent",
                "verbose_name_plural": "jobs to be sent",
                "default_permissions": ("view",),
            },
        ),
    ]
