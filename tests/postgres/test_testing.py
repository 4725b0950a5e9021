"""A project's tests on PostgreSQL, which refuses more than SQLite does."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.db import ProgrammingError
from django.test import TestCase

from django_redisjobs import JobStatus
from django_redisjobs.testing import captured_jobs
from tests.postgres import jobs


class InATestCase(TestCase):
    def test_a_query_that_is_refused_fails_its_job_alone(self) -> None:
        Group.objects.create(name="of the test")
        with captured_jobs() as captured:
            refused = jobs.ask_wrongly.delay(well=False)
            caught = jobs.ask_wrongly.delay(well=True)
            after = jobs.note.delay(7)

        with pytest.raises(ProgrammingError):
            captured.run()

        assert refused.status() is JobStatus.FAILED
        assert caught.status() is JobStatus.SUCCEEDED
        assert after.result() == 7
        assert Group.objects.get().name == "of the test"
