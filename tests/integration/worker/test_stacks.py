"""What a worker answers when somebody asks what its threads do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from django_redisjobs import Worker, conf
from django_redisjobs.calls import ask
from django_redisjobs.core import staff
from django_redisjobs.core.presence import send_message
from tests.integration.worker import jobs
from tests.integration.worker.conftest import Events, until

pytestmark = pytest.mark.usefixtures("redisjobs")


def answer_of(worker: str) -> str:
    keys = conf.keys_for("default")
    ask(send_message(keys, worker, "dump"))
    return until(lambda: ask(staff.stacks(keys, worker))).text


def with_words(words: str) -> str:
    """An answer that has these words in it; else nothing yet."""
    text = answer_of(only_worker())
    return text if words in text else ""


def only_worker() -> str:
    keys = conf.keys_for("default")
    (record,) = until(lambda: ask(staff.workers(keys)))
    return record.id


@pytest.fixture
def inline() -> Iterator[None]:
    worker = Worker(processes=0, verbosity=0)
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield
    worker.stop()
    thread.join(60)


def test_a_process_tells_what_it_runs(start: Any, events: Events):
    start()
    handle = jobs.pass_gate.delay()
    events.wait()

    # It had told of its arrival before it came to wait.
    text = until(lambda: with_words("wait_at_gate"))

    assert f"runs {handle.id}" in text
    assert "Thread MainThread" in text
    assert "redisjobs-keeper (writes this)" in text
    events.open_gate(1)


def test_coroutines_are_in_it(inline: None):
    handle = jobs.sleep_async.delay(30, "late")
    until(lambda: handle.status() == "running")

    assert until(lambda: with_words("sleep_async"))
    handle.cancel()
    until(lambda: handle.status() == "cancelled")


def test_a_standard_error_without_a_descriptor(
    inline: None, monkeypatch: pytest.MonkeyPatch
):
    class Tee:
        def write(self, text: str) -> int:
            return len(text)

    monkeypatch.setattr("sys.stderr", Tee())

    assert "redisjobs-liaison (writes this)" in answer_of(only_worker())


def test_workers_tell_what_memory_they_hold(start: Any, client: redis.Redis):
    start(settings={"LEASE": 5})
    worker = only_worker()
    keys = conf.keys_for("default")

    memory = until(lambda: client.hget(keys.worker(worker), "memory"))

    assert 5_000_000 < int(memory) < 5_000_000_000


def test_what_ends_a_process_is_noted(start: Any):
    start()
    only_worker()

    jobs.die.delay()

    lost = until(lambda: ask(staff.lost_workers(conf.keys_for("default"))))
    assert "SIGKILL" in lost[0].reason or "signal 9" in lost[0].reason
    assert lost[0].at_ms > (time.time() - 600) * 1000
