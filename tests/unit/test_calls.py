"""What people are told of errors of Redis."""

from __future__ import annotations

import pytest
import redis
from django.test import override_settings

from django_redisjobs.calls import explain


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Connection refused", "Connection refused. Is it running"),
        ("Connection refused.", "Connection refused. Is it running"),
        ("Is the configuration correct?", "configuration correct? Is it running"),
        ("", "ConnectionError. Is it running"),
    ],
)
def test_what_redis_said_ends_as_a_sentence_does(said: str, told: str):
    with override_settings(REDISJOBS={"URL": "redis://h"}):
        assert told in explain(redis.ConnectionError(said))
