"""What jobs log is kept with their runs."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from django.test import override_settings

from django_redisjobs import Worker, conf, job
from django_redisjobs.calls import ask
from django_redisjobs.core import lookup
from django_redisjobs.core.records import AttemptRecord
from django_redisjobs.worker.recording import LONGEST_LINE, MOST_CHARACTERS

pytestmark = pytest.mark.usefixtures("redisjobs")
logger = logging.getLogger("shop.orders")


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@job(retry=0)
def speak(token: str = "", *, fail: bool = False) -> None:
    logger.info("not loud enough")
    logger.warning("order %d of %s", 7, token or "ada")
    if fail:
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            logger.exception("cannot divide")
        raise ValueError(f"no {token}".strip())


@job
async def speak_async() -> None:
    logger.warning("from a coroutine")


@job
def speak_a_lot(lines: int, length: int) -> None:
    for number in range(lines):
        logger.warning("%d %s", number, "x" * length)


@job
def speak_badly() -> None:
    logger.warning("%s", Broken())
    logger.warning("%d", "not a number")
    logger.warning("\udc80")


@job
def speak_in_a_thread() -> None:
    thread = threading.Thread(target=logger.warning, args=["beside"])
    thread.start()
    thread.join()


@pytest.fixture(autouse=True)
def no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    # What pytest captures goes from process to process, which takes no lone surrogate.
    monkeypatch.setattr(logger, "filters", [lambda _: False])


def run(handle: Any, **options: Any) -> AttemptRecord:
    """Have it run; its only attempt."""
    Worker(processes=0, burst=True, verbosity=0, **options).run()
    record = ask(lookup.job(conf.keys_for("default"), handle.id))
    assert record is not None
    (attempt,) = record.attempts
    return attempt


def texts(attempt: AttemptRecord) -> list[str]:
    return [text for _, _, _, text in attempt.logs]


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_job_logs_is_kept_when_it_succeeds(threads: int):
    attempt = run(speak.delay(), threads=threads)

    assert attempt.outcome == "succeeded"
    (line,) = attempt.logs
    assert line[1:] == ("WARNING", "shop.orders", "order 7 of ada")
    assert attempt.started_ms - 60_000 < line[0] < attempt.finished_ms + 60_000


def test_handles_tell_what_was_logged():
    handle = speak.delay()
    run(handle)

    (attempt,) = handle.info().attempts
    (line,) = attempt.logs
    assert (line.level, line.logger, line.text) == (
        *("WARNING", "shop.orders", "order 7 of ada"),
    )
    assert abs(line.at - attempt.started_at).total_seconds() < 60


def test_what_a_job_logs_is_kept_when_it_fails():
    attempt = run(speak.delay(fail=True))

    assert attempt.outcome == "failed"
    assert texts(attempt) == [
        "order 7 of ada",
        "cannot divide\nZeroDivisionError: division by zero",
    ]


def test_coroutines_log_too_and_each_run_has_its_own_lines():
    quiet = speak_in_a_thread.delay()
    assert texts(run(speak_async.delay())) == ["from a coroutine"]
    record = ask(lookup.job(conf.keys_for("default"), quiet.id))
    assert record is not None
    assert record.attempts[0].logs == ()


def test_the_last_lines_are_kept_and_long_ones_are_cut(redisjobs: dict[str, Any]):
    with override_settings(REDISJOBS={**redisjobs, "LOG_LINES": 3}):
        attempt = run(speak_a_lot.delay(10, LONGEST_LINE))
    assert [text.partition(" ")[0] for text in texts(attempt)] == ["7", "8", "9"]
    assert all(len(text) <= LONGEST_LINE + 2 for text in texts(attempt))

    attempt = run(speak_a_lot.delay(90, 1_000))
    assert sum(map(len, texts(attempt))) <= MOST_CHARACTERS
    assert texts(attempt)[-1].startswith("89 ")


def test_none_are_kept_where_none_are_wanted(redisjobs: dict[str, Any]):
    before = logging.getLogRecordFactory()
    with override_settings(REDISJOBS={**redisjobs, "LOG_LINES": 0}):
        attempt = run(speak.delay())

    assert attempt.logs == ()
    assert logging.getLogRecordFactory() is before


def test_what_cannot_be_written_does_no_harm():
    attempt = run(speak_badly.delay())

    first, second, third = texts(attempt)
    assert "its arguments do not fit" in first
    assert "its arguments do not fit" in second
    assert third == "\\udc80"


def test_what_redact_names_is_not_kept(redisjobs: dict[str, Any]):
    with override_settings(REDISJOBS={**redisjobs, "REDACT": ["token"]}):
        attempt = run(speak.delay("s3cret-value"))

    assert texts(attempt) == ["order 7 of [hidden]"]


def test_what_redact_names_is_not_kept_however_long_it_is(redisjobs: dict[str, Any]):
    key = "s3cret" * 1_000
    with override_settings(REDISJOBS={**redisjobs, "REDACT": ["token"]}):
        attempt = run(speak.delay(key, fail=True))

    assert texts(attempt)[0] == "order 7 of [hidden]"
    assert "s3cret" not in f"{attempt.message}{attempt.traceback}{attempt.logs}"
    assert "[hidden]" in attempt.message
