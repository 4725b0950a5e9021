"""How jobs end, in each kind of executor."""

from __future__ import annotations

from collections import Counter

import pytest
from django.utils import translation

from django_redisjobs import JobStatus
from django_redisjobs.exceptions import JobFailed
from tests.integration.worker import jobs
from tests.integration.worker.conftest import Running, until

pytestmark = pytest.mark.usefixtures("redisjobs")


def test_a_job_succeeds(start):
    start()

    handle = jobs.add.delay(2, 3)

    assert handle.result(timeout=60) == 5
    info = handle.info()
    assert info.status is JobStatus.SUCCEEDED
    assert info.enqueued_at <= info.started_at <= info.finished_at


def test_a_job_fails_and_tells_where(start):
    start()

    handle = jobs.fail.delay("no stock")

    with pytest.raises(JobFailed) as caught:
        handle.result(timeout=60)
    assert "ValueError" in str(caught.value)
    assert "no stock" in caught.value.traceback
    assert "raise ValueError(message)" in caught.value.traceback
    assert "django_redisjobs/worker" not in caught.value.traceback
    (attempt,) = handle.info().attempts
    assert (attempt.outcome, attempt.exception_class) == ("failed", "ValueError")


@pytest.mark.parametrize("name", jobs.OF_OTHERS)
def test_what_a_job_raises_about_others_is_a_failure_of_its_own(start, name):
    """Neither parked, which would have it run for ever, nor discarded."""
    start()

    handles = [
        function.delay(name)
        for function in (jobs.raise_of_another, jobs.raise_of_another_async)
    ]

    for handle in handles:
        assert handle.wait(timeout=60) is JobStatus.FAILED
        assert len(handle.info().attempts) == 2


def test_a_coroutine_that_nobody_awaits_is_a_failure(start):
    start()

    handle = jobs.never_awaited.delay()

    with pytest.raises(JobFailed, match="nothing of it ran"):
        handle.result(timeout=60)
    assert len(handle.info().attempts) == 1


def test_a_failing_job_is_retried_until_it_succeeds(start):
    start()

    handle = jobs.flaky.delay(2)

    assert handle.result(timeout=60) == 3
    outcomes = [attempt.outcome for attempt in handle.info().attempts]
    assert outcomes == ["failed", "failed", "succeeded"]


def test_retries_come_to_an_end(start):
    start()

    handle = jobs.flaky.delay(10)

    with pytest.raises(JobFailed):
        handle.result(timeout=60)
    assert len(handle.info().attempts) == 4


def test_jobs_that_failed_together_are_not_retried_together(start):
    handles = jobs.call_what_is_down.delay_many([()] * 200)

    assert start(burst=True).wait() == 0

    seconds = Counter()
    for handle in handles:
        info = handle.info()
        pause = info.due_at - info.attempts[-1].finished_at
        assert 49 <= pause.total_seconds() <= 101
        seconds[pause.seconds] += 1
    # 4 on average; without jitter all of them.
    assert max(seconds.values()) < 20


@pytest.mark.parametrize(
    "name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "MemoryError"]
)
@pytest.mark.parametrize("kind", ["sync", "async", "threads"])
def test_what_would_end_a_process_ends_the_job_only(start, name, kind):
    worker = start(threads=3 if kind == "threads" else 1)
    function = (
        jobs.raise_one_of_these_async if kind == "async" else jobs.raise_one_of_these
    )

    before = jobs.whoami.delay()
    handle = function.delay(name)
    after = jobs.whoami.delay()

    with pytest.raises(JobFailed) as caught:
        handle.result(timeout=60)
    assert name in str(caught.value)
    assert before.result(timeout=60)[0] == after.result(timeout=20)[0]
    assert worker.stop() == 0


@pytest.mark.parametrize("name", ["Unprintable", "JobInterrupted"])
def test_odd_exceptions_fail_the_job(start, name):
    start()

    handle = jobs.raise_one_of_these.delay(name)

    with pytest.raises(JobFailed) as caught:
        handle.result(timeout=60)
    assert name in str(caught.value)


def test_endless_recursion_fails_the_job(start):
    start()

    handle = jobs.recurse.delay()

    with pytest.raises(JobFailed) as caught:
        handle.result(timeout=60)
    assert "RecursionError" in str(caught.value)
    assert jobs.add.delay(1, 1).result(timeout=60) == 2


@pytest.mark.parametrize(
    ("what", "reason"),
    [("object", "object"), ("large", "MAX_PAYLOAD")],
)
def test_a_result_that_cannot_be_stored_fails_the_job_once(start, what, reason):
    start()

    handle = jobs.give.delay(what)

    with pytest.raises(JobFailed, match=reason):
        handle.result(timeout=60)
    assert len(handle.info().attempts) == 1


def test_a_result_may_be_any_text(start):
    start()

    assert jobs.give.delay("lone surrogate").result(timeout=60) == "\ud800"
    assert jobs.give.delay("nothing").result(timeout=60) is None


def test_progress_and_meta_are_seen_while_the_job_runs_and_after(start, events):
    start()

    handle = jobs.report.delay(2, gated=True)

    seen = until(lambda: handle.info().progress)
    assert (seen.done, seen.total, seen.message) == (1, 2, "working")
    until(lambda: handle.info().meta == {"step": 1})
    events.open_gate(2)
    handle.wait(timeout=60)
    assert (handle.info().progress.done, handle.info().meta) == (2, {"step": 2})


def test_meta_survives_to_the_next_attempt(start):
    start()

    handle = jobs.remember.delay(2)

    assert handle.result(timeout=60) == [1, 2, 3]
    assert handle.info().meta == {"seen": [1, 2, 3]}


@pytest.mark.parametrize("function", [jobs.language, jobs.language_async])
def test_a_job_speaks_the_language_of_its_enqueuer(start, function):
    start()

    with translation.override("de"):
        german = function.delay()
    plain = function.delay()

    assert german.result(timeout=60) == "de"
    assert plain.result(timeout=60) == "en-us"


def test_coroutine_jobs_run_side_by_side(start):
    start()

    handles = [jobs.gather.delay(50) for _ in range(50)]

    assert {handle.result(timeout=60) for handle in handles} == {50}


def test_thousands_of_coroutine_jobs_wait_at_once(start):
    start(async_concurrency=3000)

    handles = jobs.gather.delay_many([(3000,)] * 3000)

    # None of them ends before all have begun.
    assert {handle.result(timeout=60) for handle in handles} == {3000}


@pytest.mark.parametrize("seconds", [0, 0.001])
def test_a_coroutine_job_sees_no_context_of_those_before_it(start, seconds):
    start(async_concurrency=2)

    handles = jobs.leave_a_trace.delay_many([(seconds,)] * 500)

    assert {handle.result(timeout=60) for handle in handles} == {""}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_plain_job_sees_no_context_of_those_before_it(start, threads):
    start(threads=threads)

    handles = jobs.leave_a_trace_plainly.delay_many([()] * 20)

    assert {handle.result(timeout=60) for handle in handles} == {("", "en-us")}


@pytest.mark.parametrize("places", [2, 50])
def test_jobs_of_either_kind_begin_in_the_order_in_which_they_came(start, places):
    """Also where each kind is met by who cannot run it, and all places are taken."""
    handles = [
        jobs.when_begun_async.delay(number % 3 / 1000)
        if number % 7
        else jobs.when_begun.delay()
        for number in range(600)
    ]
    start(async_concurrency=places, burst=True)

    begun = [handle.result(timeout=60) for handle in handles]

    plain = begun[::7]
    of_coroutines = [moment for place, moment in enumerate(begun) if place % 7]
    assert plain == sorted(plain)
    assert of_coroutines == sorted(of_coroutines)


def test_no_more_coroutine_jobs_than_allowed(start):
    start(async_concurrency=2)

    handles = jobs.count_beside.delay_many([(0.2,)] * 6)

    assert max(handle.result(timeout=60) for handle in handles) == 2


def test_threads_run_side_by_side(start, events):
    start(threads=4)

    handles = [jobs.pass_gate.delay(str(number)) for number in range(4)]

    # All four are in the middle.
    assert {events.wait()[1] for _ in handles} == {"0", "1", "2", "3"}
    events.open_gate(4)
    for handle in handles:
        handle.result(timeout=60)


@pytest.mark.parametrize(("workers", "processes"), [(1, 3), (3, 1)])
def test_processes_and_workers_share_a_queue(start, events, workers, processes):
    for _ in range(workers):
        start(processes=processes)

    handles = [jobs.pass_gate.delay(str(number)) for number in range(3)]

    arrived = [events.wait() for _ in handles]
    assert {name for _, name, _ in arrived} == {"0", "1", "2"}
    assert len({pid for _, _, pid in arrived}) == 3
    events.open_gate(3)
    for handle in handles:
        handle.result(timeout=60)


def test_callbacks_run_with_the_id_of_the_job(start, events):
    start()

    well = jobs.with_callbacks.delay(well=True)
    assert events.wait() == ["success", well.id]
    badly = jobs.with_callbacks.delay(well=False)
    assert events.wait() == ["failure", badly.id]


def test_strict_order_between_queues(start):
    handles = [
        jobs.add.using(queue=queue).delay(1, 1)
        for queue in ("low", "default", "high", "low", "high")
    ]

    worker: Running = start("high", "default", "low", burst=True)

    assert worker.wait() == 0
    order = sorted(handles, key=lambda handle: handle.info().started_at)
    ended = [line.split()[3] for line in worker.output.splitlines() if "✓" in line]
    assert ended == [handles[place].id for place in (2, 4, 1, 0, 3)]
    assert order


def test_an_unknown_function_is_parked(start, client, prefix):
    worker = start()
    handle = jobs.add.delay(1, 2)
    assert handle.result(timeout=60) == 3

    renamed = _rename_function(client, prefix, jobs.add, "tests.nowhere.gone")

    until(lambda: renamed.status() is JobStatus.PARKED)
    assert "tests.nowhere.gone" in worker.output
    assert jobs.add.delay(1, 2).result(timeout=60) == 3


def test_arguments_that_do_not_bind_are_parked(start, client, prefix):
    start()

    handle = _rename_function(client, prefix, jobs.add, jobs.whoami.path)

    until(lambda: handle.status() is JobStatus.PARKED)


def _rename_function(client, prefix, function, path):
    """Enqueue a job as another release would: the function has another name there."""
    from django_redisjobs import get_connection
    from django_redisjobs.conf import keys_for
    from django_redisjobs.core.payload import encode_body
    from django_redisjobs.core.producer import enqueue
    from django_redisjobs.core.records import NewJob, new_id
    from django_redisjobs.core.scripts import perform
    from django_redisjobs.handles import get_job
    from django_redisjobs.serialization import codec

    body = encode_body(path, [1, 2], {}, {}, codec)
    new = NewJob(new_id(), "default", body)
    perform(get_connection(), enqueue(keys_for("default"), [new]))
    return get_job(new.id)
