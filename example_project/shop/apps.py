"""The shop."""

from __future__ import annotations

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Products, orders, pictures, imports, reports."""

    name = "shop"
