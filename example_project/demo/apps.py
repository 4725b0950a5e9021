"""The demo: everything at once, by one command."""

from __future__ import annotations

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """``manage.py demo`` and ``manage.py neighbours``."""

    name = "demo"
