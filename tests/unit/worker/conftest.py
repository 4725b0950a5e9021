from __future__ import annotations

import os

import pytest

from django_redisjobs.worker.inbox import open_pipe


@pytest.fixture
def pipe():
    ends = open_pipe()
    yield ends
    for end in ends:
        os.close(end)
