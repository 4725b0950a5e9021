"""What a running job sees and says of itself."""

from __future__ import annotations

import json
import math
import threading
from typing import Any

import pytest
from django.test import override_settings

from django_redisjobs import current_job
from django_redisjobs.context import JobContext, Progress, enter, leave
from django_redisjobs.exceptions import PayloadNotSerializable, PayloadTooLarge


def context(**more: Any) -> JobContext:
    values: dict[str, Any] = {
        "id": "a1",
        "function": "shop.jobs.f",
        "queue": "high",
        "attempt": 2,
        "run": 3,
    }
    return JobContext(**{**values, **more})


def test_outside_a_job_there_is_no_current_one() -> None:
    assert current_job() is None


def test_inside_a_job_it_is_the_current_one() -> None:
    inner = context()

    token = enter(inner)
    seen = current_job()
    leave(token)

    assert seen is inner
    assert current_job() is None
    assert (inner.id, inner.attempt, inner.run, inner.queue) == ("a1", 2, 3, "high")


def test_progress_is_taken_once_and_the_last_call_wins() -> None:
    job = context()
    assert not job.watched

    job.progress(1, 10)
    job.progress(2, 10, "rows")

    assert job.watched
    assert json.loads(job.take_progress() or "") == {
        "done": 2,
        "total": 10,
        "message": "rows",
    }
    assert job.take_progress() is None


def test_progress_may_name_a_file_whose_name_is_no_utf_8() -> None:
    job = context()

    job.progress(1, message="caf\udce9.txt")

    stored = json.loads(job.take_progress() or "")
    assert stored["message"] == r"caf\udce9.txt"


@pytest.mark.parametrize(
    ("done", "total"),
    [
        *[(math.nan, 1), (1, math.inf), (-math.inf, None), (10**400, 1)],
        *[("1", 2), (1, "10"), (1, ""), (1, object()), (None, 1), (1, [])],
    ],
)
def test_progress_takes_finite_numbers(done: Any, total: Any) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        context().progress(done, total)


@pytest.mark.parametrize(
    ("stored", "progress"),
    [
        ('{"done":1,"total":4,"message":"rows"}', Progress(1, 4, "rows")),
        ('{"done":1,"total":null,"message":""}', Progress(1)),
        ('{"done":1,"total":"10","message":""}', None),
        ('{"done":NaN}', None),
        ('{"done":1,"message":2}', Progress(1, None, "2")),
        ("2", None),
        ("null", None),
        ('[1,"x"]', None),
        ('"', None),
    ],
)
def test_progress_is_read_as_far_as_it_is_one(
    stored: str, progress: Progress | None
) -> None:
    assert Progress.read(stored) == progress


def test_meta_of_the_attempt_before_is_there() -> None:
    job = context(meta='{"seen":{"$":"set","v":[1]}}')

    assert job.meta == {"seen": {1}}
    assert job.take_meta() is None


def test_meta_is_taken_whenever_it_changed_also_in_place() -> None:
    job = context()
    meta = job.meta
    meta["rows"] = [1]
    first = job.take_meta()

    meta["rows"].append(2)
    second = job.take_meta()

    assert (first, second) == ('{"rows":[1]}', '{"rows":[1,2]}')
    assert job.take_meta() is None


def test_meta_that_a_job_cannot_carry_is_an_error_for_the_worker() -> None:
    job = context()
    job.meta["file"] = object()

    with pytest.raises(PayloadNotSerializable, match="meta key 'file': object"):
        job.take_meta()


def test_meta_has_the_bound_of_payloads() -> None:
    job = context()
    job.meta["text"] = "x" * 2_000

    with (
        override_settings(REDISJOBS={"MAX_PAYLOAD": 1_000}),
        pytest.raises(PayloadTooLarge, match=r"meta of shop.jobs.f: 2,011 bytes"),
    ):
        job.take_meta()


def test_a_message_of_progress_is_cut() -> None:
    job = context()

    job.progress(1, message="x" * 9_000)

    assert len(json.loads(job.take_progress() or "")["message"]) == 4_000


def test_meta_may_change_while_it_is_taken() -> None:
    job = context()
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            job.meta[str(number % 5000)] = number

    writer = threading.Thread(target=write)
    writer.start()
    try:
        taken = [job.take_meta() for _ in range(50)]
    finally:
        stop.set()
        writer.join()

    assert all(json.loads(each) for each in taken if each)


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [
        (Progress(1, 4), 0.25),
        (Progress(5, 4), 1.0),
        (Progress(5), None),
        (Progress(0, 0), None),
    ],
)
def test_the_fraction_that_is_done(progress: Progress, fraction: float | None) -> None:
    assert progress.fraction == fraction
