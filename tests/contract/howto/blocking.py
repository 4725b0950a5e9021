"""A worker in a thread, before anything is enqueued."""

from __future__ import annotations

import threading
from datetime import timedelta

from django_redisjobs import Worker

worker = Worker(processes=0, verbosity=0)
thread = threading.Thread(target=worker.run)
thread.start()


def check() -> None:
    names = globals()
    worker.stop()
    thread.join()
    assert names["handle"].result(timeout=0) == "pong"
    # A minute is no promise: machines of tests are busy.
    assert timedelta(0) <= names["waited"] < timedelta(minutes=1)
