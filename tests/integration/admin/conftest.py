"""Staff with chosen permissions, and a store in the group that the admin shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Permission, User
from django.test import Client

from django_redisjobs import conf
from tests.integration.core.store import Store

Staff = Callable[..., Client]


@pytest.fixture
def store(client: redis.Redis, redisjobs: dict[str, Any]) -> Store:
    return Store(client, conf.keys_for("default"))


@pytest.fixture
def staff(db: None) -> Staff:
    """A browser of a staff user who has these permissions of this app."""

    def browser(*codenames: str) -> Client:
        user = User.objects.create_user("ada", password="x", is_staff=True)
        found = Permission.objects.filter(
            content_type__app_label="redisjobs", codename__in=codenames
        )
        assert len(found) == len(codenames)
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        return client

    return browser


@pytest.fixture
def browser(staff: Staff) -> Client:
    """A browser of somebody who may look at everything."""
    return staff("view_job", "view_queue", "view_worker")
