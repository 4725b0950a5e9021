"""A private server in a folder of its own, for as long as this process."""

from __future__ import annotations

import shutil
import tempfile

from django.test import override_settings

from django_redisjobs import JobStatus, Worker, get_connection

folder = tempfile.mkdtemp(prefix="rj-")
override_settings(REDISJOBS={"URL": f"embedded://{folder}/jobs"}).enable()
first_server = get_connection().info("server")["process_id"]


def check() -> None:
    names = globals()
    now, later = names["now"], names["later"]
    assert (now.status(), later.status()) == (JobStatus.PENDING, JobStatus.SCHEDULED)
    assert get_connection().info("server")["process_id"] != first_server
    Worker(processes=0, burst=True).run()
    assert now.result(timeout=0) == "order 1"
    assert later.status() is JobStatus.SCHEDULED
    # The server ends soon after its folder.
    shutil.rmtree(folder)
