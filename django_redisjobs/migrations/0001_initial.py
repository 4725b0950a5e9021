"""Permissions of the admin pages. No table: rows of these models come from Redis."""

from __future__ import annotations

from django.db import migrations, models

OPTIONS = {
    "managed": False,
    "default_permissions": ("view",),
    "base_manager_name": "objects",
    "default_manager_name": "objects",
}


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    # Only the primary keys: Django compares no other columns of unmanaged models, so
    # that these may change without a migration.
    operations = [
        migrations.CreateModel(
            name="Queue",
            fields=[
                ("name", models.CharField(max_length=200, primary_key=True)),
            ],
            options={
                **OPTIONS,
                "verbose_name": "queue",
                "verbose_name_plural": "queues",
                "permissions": [
                    ("pause_queue", "Can pause and resume queue"),
                    ("purge_queue", "Can purge queue"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True)),
            ],
            options={
                **OPTIONS,
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
                "permissions": [
                    ("retry_job", "Can retry job"),
                    ("cancel_job", "Can cancel job"),
                    ("delete_job", "Can delete job"),
                    ("run_job", "Can run job now"),
                    ("move_job", "Can move job to another queue"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("id", models.CharField(max_length=100, primary_key=True)),
            ],
            options={
                **OPTIONS,
                "verbose_name": "worker",
                "verbose_name_plural": "workers",
                "permissions": [
                    ("control_worker", "Can quiet, stop and inspect worker")
                ],
            },
        ),
    ]
