"""What another site has a browser send changes nothing."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_redisjobs import JobStatus
from tests.integration.core.store import Store

ADMIN = "/admin/redisjobs"


@pytest.fixture
def lured(db: None) -> Client:
    """The browser of somebody who may do everything, on a page of somebody else."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_superuser("root"))
    return browser


def test_nothing_is_done_without_the_token_of_a_page(store: Store, lured: Client):
    (job_id,) = store.add("low")
    store.worker("low", name="w-1")
    ticked = {"action": "cancel", "_selected_action": job_id, "confirmed": "1"}

    for path, sent in (
        (f"{ADMIN}/job/", ticked),
        (f"{ADMIN}/job/{job_id}/act/", {"action": "cancel", "confirmed": "1"}),
        (f"{ADMIN}/queue/low/pause/", {"pause": "1"}),
        (f"{ADMIN}/queue/low/purge/", {"confirmed": "1"}),
        (f"{ADMIN}/queue/retry-group/?function=f", {"confirmed": "1"}),
        (f"{ADMIN}/worker/w-1/control/", {"message": "stop", "confirmed": "1"}),
    ):
        assert lured.post(path, sent).status_code == 403, path

    assert store.status(job_id) is JobStatus.PENDING
    assert not store.client.exists(store.keys.control("w-1"))
    assert not store.client.exists(store.keys.paused)
