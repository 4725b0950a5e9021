"""The newsletter."""

from __future__ import annotations

from django.apps import AppConfig


class NewsletterConfig(AppConfig):
    """Subscribers and the issues sent to them."""

    name = "newsletter"
