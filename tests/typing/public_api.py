"""What type checkers make of the public names. Never run: mypy strict and pyright
read it, and an expected error that does not come is an error.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from django_redisjobs import (
    AttemptInfo,
    JobContext,
    JobFunction,
    JobHandle,
    JobInfo,
    JobQuery,
    JobStatus,
    Queue,
    QueueCounts,
    Retry,
    Tally,
    current_job,
    enqueue,
    get_job,
    get_queue,
    job,
    jobs,
    testing,
)


@job
def resize(image_id: int, *, width: int = 100) -> str:
    raise NotImplementedError


@job()
def with_parentheses(image_id: int) -> str:
    raise NotImplementedError


@job("high")
def with_queue(image_id: int) -> str:
    raise NotImplementedError


@job(queue="high")
def with_queue_by_name(image_id: int) -> str:
    raise NotImplementedError


@job
def told(job_id: str, reason: str = "") -> None:
    raise NotImplementedError


@job
async def atold(job_id: str) -> None:
    raise NotImplementedError


def told_plainly(job_id: str) -> int:
    raise NotImplementedError


@job
def with_nothing() -> None:
    raise NotImplementedError


@job("high", timeout=60, retry=3)
def with_queue_and_options(image_id: int) -> str:
    raise NotImplementedError


@job(
    queue="high",
    timeout="5m",
    retry=Retry(max=5, on=(OSError,), give_up_on=(ValueError,)),
    result_ttl=timedelta(hours=1),
    on_success="shop.jobs.paid",
    on_failure=told,
    on_missing="discard",
    atomic=True,
    settle_each=True,
    priority=10,
    expires="1h",
    on_commit=False,
    using_db="other",
)
def with_every_option(image_id: int) -> str:
    raise NotImplementedError


@job(timeout=None, retry=None, expires=None, on_commit=None, using_db=None)
def with_nones(image_id: int) -> str:
    raise NotImplementedError


@job
async def fetch(url: str) -> bytes:
    raise NotImplementedError


@job("low", timeout=None)
async def fetch_with_options(url: str) -> bytes:
    raise NotImplementedError


def plain(image_id: int) -> str:
    raise NotImplementedError


defined_by_call = job(plain)
defined_by_call_with_options = job("high")(plain)

# -- delay: the handle knows the function's return type -------------------------

assert_type(resize.delay(1), JobHandle[str])
assert_type(resize.delay(1, width=5), JobHandle[str])
assert_type(with_parentheses.delay(1), JobHandle[str])
assert_type(with_queue.delay(1), JobHandle[str])
assert_type(with_queue_by_name.delay(1), JobHandle[str])
assert_type(with_queue_and_options.delay(1), JobHandle[str])
assert_type(with_every_option.delay(1), JobHandle[str])
assert_type(defined_by_call.delay(1), JobHandle[str])
assert_type(defined_by_call_with_options.delay(1), JobHandle[str])
assert_type(resize.delay_many([(1,), {"image_id": 2}, [3]]), list[JobHandle[str]])

# -- async functions: the result, not the coroutine ------------------------------

assert_type(fetch.delay("x"), JobHandle[bytes])
assert_type(fetch_with_options.delay("x"), JobHandle[bytes])
assert_type(fetch.using(queue="high").delay("x"), JobHandle[bytes])

# -- job functions in annotations --------------------------------------------------

of_an_image: JobFunction[[int], str] = with_queue.using(priority=5)
of_another: JobFunction[[str], str] = with_queue  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


def delay_any(function: JobFunction[..., str]) -> JobHandle[str]:
    return function.delay(1)


# -- calling: what the function itself gives --------------------------------------

assert_type(resize(1), str)
assert_type(with_every_option(1), str)
assert_type(resize.using(priority=5)(1), str)
coroutine = fetch("x")
_ = assert_type(coroutine, Coroutine[Any, Any, bytes])
used_coroutine = fetch.using(priority=5)("x")
_ = assert_type(used_coroutine, Coroutine[Any, Any, bytes])

# -- using: the same types ----------------------------------------------------------

assert_type(
    resize.using(
        queue="low",
        run_after=timedelta(minutes=5),
        priority=10,
        expires="1h",
        on_commit=False,
        using_db="other",
        timeout=5,
        retry=Retry(max=1),
        result_ttl=60,
    ).delay(42),
    JobHandle[str],
)
assert_type(resize.using(run_after=datetime.now(UTC)).delay(1), JobHandle[str])

# -- handles ------------------------------------------------------------------------

handle = resize.delay(1)
assert_type(handle.id, str)
assert_type(handle.status(), JobStatus)
assert_type(handle.wait(timeout=10), JobStatus)
assert_type(handle.result(timeout="10s"), str)
assert_type(handle.cancel(), bool)
assert_type(handle.info(), JobInfo)
assert_type(handle.info().attempts, tuple[AttemptInfo, ...])
assert_type(handle.info().enqueued_at, datetime | None)
assert_type(handle.info().attempts[0].traceback, str)
assert_type(get_job("x"), JobHandle[Any])
for each in [resize.delay(1), fetch.delay("x")]:
    each.wait()
of_any_result: list[JobHandle[object]] = [resize.delay(1), fetch.delay("x")]
of_a_number: JobHandle[int] = handle  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


async def in_a_coroutine() -> None:
    assert_type(await resize.adelay(1), JobHandle[str])
    assert_type(await fetch.adelay("x"), JobHandle[bytes])
    assert_type(await fetch.using(priority=1).adelay("x"), JobHandle[bytes])
    assert_type(await resize.adelay_many([(1,)]), list[JobHandle[str]])
    assert_type(await fetch("x"), bytes)
    assert_type(await handle.aresult(timeout=1), str)
    assert_type(await handle.astatus(), JobStatus)
    queue, soon = get_queue("high"), datetime.now(UTC)
    assert_type(await queue.aenqueue(resize, 1), JobHandle[str])
    assert_type(await queue.aenqueue_in(5, fetch, "x"), JobHandle[bytes])
    assert_type(await queue.aenqueue_at(soon, fetch, "x"), JobHandle[bytes])
    assert_type(await queue.aenqueue("shop.jobs.resize", 1), JobHandle[Any])
    assert_type(await queue.aenqueue_in(5, "shop.jobs.resize"), JobHandle[Any])
    assert_type(await queue.aenqueue_at(soon, "shop.jobs.resize"), JobHandle[Any])
    await queue.aenqueue(resize, "x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await queue.aenqueue_in(5, resize, "x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await queue.aenqueue_at(soon, resize, "x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await resize.adelay("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# -- queues -------------------------------------------------------------------------

assert_type(enqueue(resize, 1), JobHandle[str])
assert_type(enqueue("shop.jobs.resize", 1, width="any"), JobHandle[Any])
assert_type(get_queue("high").enqueue(resize, 1), JobHandle[str])
assert_type(get_queue("high").enqueue(fetch, "x"), JobHandle[bytes])
assert_type(get_queue().enqueue("shop.jobs.resize", 1), JobHandle[Any])
assert_type(get_queue().enqueue_in("5m", resize, 1), JobHandle[str])
assert_type(get_queue().enqueue_at(datetime.now(UTC), resize, 1), JobHandle[str])
by_path = get_queue().enqueue_in("5m", "shop.jobs.resize", 1)
assert_type(by_path, JobHandle[Any])
by_path = get_queue().enqueue_at(datetime.now(UTC), "shop.jobs.resize", 1)
assert_type(by_path, JobHandle[Any])
assert_type(get_queue().depth(), int)

assert_type(get_queue(), Queue)
assert_type(get_queue().counts(), QueueCounts)

# -- the running job ----------------------------------------------------------------

assert_type(current_job(), JobContext | None)
if running := current_job():
    assert_type(running.id, str)
    assert_type(running.attempt, int)
    assert_type(running.meta, dict[str, Any])
    running.progress(1, total=10, message="rows")

# -- wrong arguments are errors -----------------------------------------------------

resize.delay("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
resize.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
resize.delay(1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
resize.delay(1, height=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
resize("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
fetch.delay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
resize.using(priority=5).delay("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
with_every_option.delay("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
defined_by_call_with_options.delay("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
get_queue().enqueue_in(5, resize, "x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
get_queue().enqueue_at(datetime.now(UTC), resize, "x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
get_queue().enqueue(resize, "x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
enqueue(resize, "x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
resize.using(quueue="low")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
resize.using(priority="high")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
job(timeot=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
job("high", unique=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
job(on_success=atold, on_failure=told_plainly)
job("high", on_success="shop.jobs.paid", on_failure=told.using(priority=1))
job(on_failure=resize)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
job(on_success=with_nothing)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
resize.delay_many([1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def of_queries() -> None:
    chosen = jobs.failed().for_function(resize).since(timedelta(hours=1))
    assert_type(chosen.in_queue("high", "low").ids(limit=5), list[str])
    assert_type(chosen.infos()[0].status, JobStatus)
    assert_type(chosen.retry().words["pending"], int)
    assert_type(chosen, JobQuery)
    assert_type(chosen.infos(), list[JobInfo])
    assert_type(chosen.retry(), Tally)
    chosen.for_function(print)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def of_tests() -> None:
    with testing.captured_jobs(execute=True) as captured:
        assert_type(captured, testing.CapturedJobs)
    assert_type(captured[0], testing.CapturedJob)
    found = captured.assert_enqueued(resize, args=(1,), kwargs={"width": 2}, count=1)
    assert_type(found, list[testing.CapturedJob])
    assert_type(captured.run("high", scheduled="5m"), list[testing.Outcome])
    assert_type(testing.run_jobs(scheduled=timedelta(hours=1)), list[testing.Outcome])
    assert_type(testing.run_jobs()[0].status, JobStatus)
    with testing.memory_server():
        pass
    testing.run_jobs(scheduled=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    captured.assert_enqueued(print)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@testing.captured_jobs()
@testing.memory_server()
def a_test(number: int) -> str:
    raise NotImplementedError


@testing.captured_jobs()
async def an_async_test(number: int) -> str:
    raise NotImplementedError


async def of_async_tests() -> None:
    assert_type(await an_async_test(1), str)
    assert_type(await testing.arun_jobs("high"), list[testing.Outcome])
    with testing.captured_jobs() as captured:
        assert_type(await captured.arun(), list[testing.Outcome])
    async with testing.captured_jobs(execute=True) as captured:
        assert_type(captured, testing.CapturedJobs)
