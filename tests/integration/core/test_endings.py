"""What comes of an end: the record, the result, callbacks, who waits, statistics."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import redis

from django_redisjobs.core import inspection, lookup, staff
from django_redisjobs.core.records import (
    DEFAULT_KEEP,
    ENDED,
    JobStatus,
    Keep,
    QueueCounts,
)
from django_redisjobs.monitoring.spreads import Spread, Timings, starts_ms
from tests.servers import Server

from .places import Places
from .store import Store, Worker, attempt, ids, settlement

Look = Callable[[], Places]
CALLS_BOTH = (
    '["shop.jobs.pay",[],{},{"on_success":["shop.jobs.paid","high"],'
    '"on_failure":["shop.jobs.unpaid"]}]'
)


def run(store: Store, kind: str = "succeeded", **more: Any) -> str:
    """Enqueue a job, claim it, settle it; its id."""
    (added,) = store.add(
        **{name: more.pop(name) for name in ("body", "callbacks") if name in more}
    )
    worker = store.worker()
    (claimed,) = worker.claim()
    worker.settle(claimed, kind=kind, **more)
    return added


# -- the record ----------------------------------------------------------------------


def test_an_ended_job_is_one_record(store: Store, look: Look):
    added = run(store, result='{"a":[1,2.50]}', meta='{"m":[]}', progress="[5,5]")

    record = store.record(added)
    assert record.status is JobStatus.SUCCEEDED
    assert json.loads(record.result or "") == {"a": [1, 2.5]}
    assert (record.meta, record.progress, record.error) == ('{"m":[]}', "[5,5]", None)
    assert record.body == '["shop.jobs.send",[1],{}]'
    assert record.finished_ms == record.started_ms + 5
    (ended,) = record.attempts
    assert (ended.number, ended.run, ended.outcome) == (1, 1, "succeeded")
    assert (record.attempts_made, record.run, record.worker) == (1, 1, "w1")
    assert [
        key
        for key in store.client.scan_iter(f"{store.keys.base}*")
        if added in key.decode()
    ] == [store.keys.job(added).encode()]
    look()


def test_a_failed_job_says_why(store: Store):
    added = run(store, "failed", error='ValueError: "quoted" – ✗\n')

    record = store.record(added)
    assert record.error == 'ValueError: "quoted" – ✗\n'
    (failed,) = record.attempts
    assert (failed.exception_class, failed.outcome) == ("ValueError", "failed")


@pytest.mark.parametrize(
    "result",
    [
        *("null", "true", '""', '"x\\ny"', "[]", "{}", "12345678901234567890123"),
        *('{"$":"tuple"}', '"\\ud83d\\ude00"', "1e-7"),
    ],
)
def test_a_result_comes_back_as_it_was(store: Store, result: str):
    kept = run(store, result=result)
    apart = run(store, result=result, result_ttl_ms=60_000)

    for added in (kept, apart):
        found = store.record(added).result
        assert found is not None
        assert json.loads(found) == json.loads(result)


def test_a_result_with_a_shorter_life_is_stored_apart(store: Store, look: Look):
    added = run(store, result='"big"', result_ttl_ms=60_000)

    left = store.client.pttl(store.keys.result(added))
    assert 55_000 < left <= 60_000
    assert b"big" not in (store.client.get(store.keys.job(added)) or b"")
    assert store.record(added).result == '"big"'
    look()
    store.client.delete(store.keys.result(added))
    assert store.record(added).result is None
    assert store.record(added).status is JobStatus.SUCCEEDED


def test_a_result_lives_no_longer_than_its_record(store: Store):
    added = run(store, result='"x"', result_ttl_ms=10**12)

    assert not store.client.exists(store.keys.result(added))
    assert store.record(added).result == '"x"'


def test_a_policy_that_leaves_a_status_out_has_its_default(store: Store):
    (added,) = store.add()
    worker = store.worker(keep={JobStatus.FAILED: Keep(1000, 1)})
    worker.settle(*worker.claim(), result='"x"', result_ttl_ms=60_000)

    assert store.client.pttl(store.keys.result(added)) > 0


def test_no_result_is_stored_where_none_is_wanted(store: Store):
    added = run(store, result='"secret"', result_ttl_ms=0)

    assert store.record(added).result is None
    assert b"secret" not in (store.client.get(store.keys.job(added)) or b"")


def test_run_again_it_has_no_old_result(store: Store, look: Look):
    added = run(store, result='"old"', result_ttl_ms=60_000)
    store.retry(added)
    look()
    worker = store.worker()
    worker.settle(*worker.claim(), kind="failed")

    record = store.record(added)
    assert record.result is None
    assert [one.outcome for one in record.attempts] == ["succeeded", "failed"]


def test_run_again_it_has_what_its_success_logged(store: Store):
    lines = ((1_800_000_000_123, "WARNING", "shop", 'half of "7" – é\n/'),) * 2
    added = run(store, result='{"logs":[1]}', logs=json.dumps(lines))
    (before,) = store.record(added).attempts
    silent = run(store, result='{"logs":[1]}')
    store.retry(added, silent)

    assert before.logs == lines
    assert store.record(added).attempts == (before,)
    (attempt,) = store.record(silent).attempts
    assert attempt.logs == ()


# -- callbacks -----------------------------------------------------------------------


def callbacks(store: Store) -> list[tuple[str, list[Any]]]:
    """(function, arguments) of what waits in both queues."""
    found = []
    for name in ("high", "q"):
        _, records = store.do(
            inspection.page(store.keys, name, JobStatus.PENDING, 0, 100)
        )
        found += [json.loads(record.body) for record in records]
    return [(function, args) for function, args, kwargs in found if kwargs == {}]


def start(store: Store, callbacks: int = 3) -> tuple[str, Worker, Any]:
    (added,) = store.add(body=CALLS_BOTH, callbacks=callbacks)
    worker = store.worker()
    (claimed,) = worker.claim()
    return added, worker, claimed


def test_one_callback_for_success(store: Store, look: Look):
    added, worker, claimed = start(store)

    worker.settle(claimed)
    worker.settle(claimed)

    assert callbacks(store) == [("shop.jobs.paid", [added])]
    assert look().place[f"{added}-s1"] == "pending:high"
    assert store.tokens("high") == 1


def test_a_callback_has_its_own_priority_and_expiry(store: Store, look: Look):
    spec = '["shop.jobs.paid","high",null,9,60000]'
    added = run(store, body=f'["f",[],{{}},{{"on_success":{spec}}}]', callbacks=1)

    called = store.record(f"{added}-s1")
    assert (called.queue, called.priority) == ("high", 9)
    assert called.expires_ms == called.enqueued_ms + 60_000
    look()


@pytest.mark.parametrize(
    "spec", ["101,0", "-1e300,-5", '"9","x"', "[],{}", "null,1e99"]
)
def test_a_callback_of_a_nonsensical_priority_has_none(
    store: Store, look: Look, spec: str
):
    spec = f'["shop.jobs.paid","high",null,{spec}]'
    added = run(store, body=f'["f",[],{{}},{{"on_success":{spec}}}]', callbacks=1)

    called = store.record(f"{added}-s1")
    assert (called.priority in (0, 9), called.expires_ms) == (True, 0)
    look()


def test_one_callback_for_failure_in_the_jobs_own_queue(store: Store, look: Look):
    added, worker, claimed = start(store)

    worker.settle(claimed, kind="failed")
    worker.settle(claimed, kind="failed")

    assert callbacks(store) == [("shop.jobs.unpaid", [added])]
    assert look().place[f"{added}-f1"] == "pending:q"


def test_no_callback_for_what_is_not_final(store: Store, look: Look):
    for kind in ("retry", "released", "parked", "note", "cancelled"):
        _, worker, claimed = start(store)
        more = {"delay_ms": 60_000} if kind == "retry" else {}
        worker.settle(claimed, kind=kind, **more)
        store.rescue(worker, charged=False)
        store.purge()
    assert callbacks(store) == []
    look()


@pytest.mark.parametrize(("bits", "expected"), [(1, ["paid"]), (2, ["unpaid"])])
def test_only_the_callback_that_there_is(store: Store, bits: int, expected: list[str]):
    for kind in ("succeeded", "failed"):
        _, worker, claimed = start(store, callbacks=bits)
        worker.settle(claimed, kind=kind)

    assert [name for name, _ in callbacks(store)] == [
        f"shop.jobs.{name}" for name in expected
    ]


def test_a_failure_by_crashes_calls_back_too(store: Store, look: Look):
    (added,) = store.add(body=CALLS_BOTH, callbacks=3)
    for _ in range(3):
        worker = store.worker()
        store.rescue(worker, worker.claim(fresh=True))

    assert store.status(added) is JobStatus.FAILED
    assert callbacks(store) == [("shop.jobs.unpaid", [added])]
    look()


def test_run_again_it_calls_back_again(store: Store, look: Look):
    added, worker, claimed = start(store)
    worker.settle(claimed, kind="failed")
    store.purge()
    store.retry(added)
    (again,) = worker.claim()
    worker.settle(again)

    assert callbacks(store) == [("shop.jobs.paid", [added])]
    look()


def test_a_settlement_lost_by_a_failover_calls_back_once(store: Store, look: Look):
    added, worker, claimed = start(store)
    worker.settle(claimed)
    # The end was forgotten, the callback was not.
    store.client.rpush(store.keys.claimed(worker.name), claimed.entry)
    store.client.zrem(store.keys.ended("succeeded", "q"), added)
    record = store.client.get(store.keys.job(added)) or b""
    store.client.set(store.keys.job(added), b"\n".join(record.split(b"\n")[:2]))
    store.client.hset(store.keys.state(added), "status", "running")
    store.client.hset(store.keys.state(added), "token", claimed.token)

    worker.exchange([], want=0)

    assert store.status(added) is JobStatus.SUCCEEDED
    assert callbacks(store) == [("shop.jobs.paid", [added])]
    look()


# -- waiting -------------------------------------------------------------------------


def wait(store: Store, client: redis.Redis, job_id: str, wait_ms: int) -> Any:
    return store.do(lookup.await_end(store.keys, job_id, wait_ms), client)


def test_waiting_for_what_has_ended_or_is_unknown_does_not_block(store: Store):
    added = run(store)

    assert wait(store, store.client, added, 60_000) == (JobStatus.SUCCEEDED, True)
    assert wait(store, store.client, "unknown", 60_000) == (None, False)
    (pending,) = store.add()
    assert wait(store, store.client, pending, 0) == (JobStatus.PENDING, False)
    assert not store.client.exists(store.keys.base + "waiters")


@pytest.mark.server
@pytest.mark.parametrize("how", ["succeeded", "failed", "cancelled", "expired"])
def test_who_waits_is_woken_by_the_end(
    store: Store, server: Server, look: Look, how: str
):
    (added,) = store.add(**({"ttl_ms": 0} if how == "expired" else {}))
    worker = store.worker()
    claimed = [] if how == "expired" else worker.claim()
    found: list[Any] = []

    def wait_for_it() -> None:
        with server.client() as client:
            found.append(wait(store, client, added, 5000))

    threads = [threading.Thread(target=wait_for_it) for _ in range(3)]
    for thread in threads:
        thread.start()
    blocked(store, 3)
    if claimed:
        worker.settle(*claimed, kind=how)
    else:
        worker.claim()
    for thread in threads:
        thread.join(4)

    assert found == [(JobStatus(how), True)] * 3
    look()


@pytest.mark.server
def test_who_waits_is_woken_when_the_job_is_deleted(store: Store, server: Server):
    (added,) = store.add()
    found: list[Any] = []

    def wait_for_it() -> None:
        with server.client() as client:
            found.append(wait(store, client, added, 5000))

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    blocked(store, 1)
    store.delete(added)
    thread.join(4)

    assert found == [(None, False)]


def blocked(store: Store, number: int) -> None:
    """Wait until so many clients block on this group."""
    ticks = threading.Event()
    for _ in range(500):
        if int(store.client.info("clients")["blocked_clients"]) >= number:
            return
        ticks.wait(0.01)
    raise AssertionError("nobody blocks")


def test_the_longer_wait_of_two_counts(store: Store):
    (added,) = store.add()
    await_end = lookup.await_end(store.keys, added, 60_000)
    store.do(_first_command_of(await_end))
    store.do(_first_command_of(lookup.await_end(store.keys, added, 1000)))

    score = store.client.zscore(store.keys.base + "waiters", added)
    assert score is not None
    assert score > store.now_ms() + 50_000


def _first_command_of(conversation: Any) -> Any:
    reply = yield next(conversation)
    return reply


def test_who_waits_no_more_is_forgotten(store: Store):
    (added,) = store.add()
    waiters = store.keys.base + "waiters"
    store.client.zadd(waiters, {added: store.now_ms() - 1})
    store.maintain_now()

    store.worker().claim()

    assert not store.client.exists(waiters)


# -- statistics ------------------------------------------------------------------------


def test_what_ends_is_counted_by_queue_and_by_function(store: Store):
    worker = store.worker("q", "other")
    store.add("other", ttl_ms=0)
    worker.claim()
    for kind in ("succeeded", "succeeded", "failed", "retry", "cancelled", "released"):
        store.add()
        (claimed,) = worker.claim()
        more = {"delay_ms": 60_000} if kind == "retry" else {}
        worker.settle(
            claimed, kind=kind, **more, finished_ms=claimed.claimed_ms + 1_000
        )
        store.purge()
    store.add()
    worker.claim()
    store.rescue(worker, None)
    store.cancel(*store.add("other"))

    counted: dict[str, int] = {}
    for fields in store.statistics(2):
        for name, value in fields.items():
            counted[name] = counted.get(name, 0) + value

    waited = counted.pop("q:q:wait_ms", 0)
    assert waited < 5_000
    assert counted == {
        "q:q:succeeded": 2,
        "q:q:failed": 1,
        "q:q:retried": 1,
        "q:q:cancelled": 1,
        "q:q:crashed": 1,
        "q:q:run_ms": 5_000,
        "f:shop.jobs.send:succeeded": 2,
        "f:shop.jobs.send:failed": 1,
        "f:shop.jobs.send:retried": 1,
        "f:shop.jobs.send:cancelled": 1,
        "f:shop.jobs.send:run_ms": 5_000,
        "q:other:expired": 1,
        "q:other:cancelled": 1,
    }


def test_statistics_are_bounded_in_time(store: Store):
    run(store)
    minute = store.now_ms() // 60_000

    left = [
        store.client.ttl(store.keys.statistics("minute", number))
        for number in (minute, minute - 1)
    ]

    assert 80_000 < max(left) <= 90_000
    hours = [
        store.client.ttl(store.keys.statistics("hour", minute // 60 - back))
        for back in (0, 1)
    ]
    assert max(hours) > 600_000


def spread_of(store: Store, queue: str = "q", bucket: str = "minute") -> Timings:
    """Of the present minute or hour, and the one before: the clock may have gone on."""
    now = store.now_ms() // {"minute": 60_000, "hour": 3_600_000}[bucket]
    found = store.do(inspection.spreads(store.keys, bucket, [now - 1, now], [queue]))
    return Timings.read(found[queue])


def counts(spread: Spread) -> dict[int, int]:
    """Shortest time of a bucket -> how many are in it."""
    return {starts_ms(at): many for at, many in enumerate(spread.counts) if many}


def test_how_long_runs_took_is_counted_those_that_are_retried_too(store: Store):
    worker = store.worker("q", "other")
    ran = {"succeeded": 0, "retry": 1_000, "failed": 1_100, "cancelled": 5_000}
    for kind, ran_ms in ran.items():
        store.add()
        (claimed,) = worker.claim()
        started_ms = claimed.enqueued_ms + 70
        more = {"delay_ms": 60_000} if kind == "retry" else {}
        worker.settle(
            *(claimed,),
            kind=kind,
            started_ms=started_ms,
            finished_ms=started_ms + ran_ms,
            **more,
        )
    for kind in ("released", "parked"):
        store.add()
        worker.settle(*worker.claim(), kind=kind)
        store.purge()
    store.add("other", ttl_ms=0)
    worker.claim()
    store.cancel(*store.add("other"))

    for bucket in ("minute", "hour"):
        found = spread_of(store, bucket=bucket)
        assert counts(found.wait) == {64: 4}
        assert counts(found.run) == {0: 1, 725: 1, 1024: 1, 4096: 1}
        assert spread_of(store, "other", bucket) == Timings()


def test_a_run_after_another_one_waits_from_when_it_was_ready(store: Store):
    worker = store.worker()
    store.add()
    (first,) = worker.claim()
    ran = {"started_ms": first.enqueued_ms, "finished_ms": first.enqueued_ms + 70_000}
    worker.settle(first, kind="retry", delay_ms=60_000, **ran)
    store.make_due(first.id)
    (second,) = worker.claim()
    assert second.ready_ms >= first.claimed_ms + 60_000
    # Handed back as it came, it has waited all the while.
    worker.settle(second, kind="released", started_ms=0)
    (third,) = worker.claim()
    assert third.ready_ms == second.ready_ms
    store.rescue(worker, [third])
    other = store.worker()
    (fourth,) = other.claim(fresh=True)
    assert third.claimed_ms <= fourth.ready_ms < second.ready_ms
    started_ms = fourth.ready_ms + 64
    other.settle(fourth, started_ms=started_ms, finished_ms=started_ms)

    assert counts(spread_of(store).wait) == {0: 1, 64: 1}


def test_many_runs_are_counted_at_once(store: Store):
    store.add(number=64)
    worker = store.worker()
    jobs = worker.claim(64)
    worker.exchange(
        [
            settlement(one, started_ms=9, finished_ms=9 + number)
            for number, one in enumerate(jobs)
        ]
    )

    found = spread_of(store)
    assert counts(found.wait) == {0: 64}
    # Of 0 to 63 ms one each; every bucket begins where Python says that it does.
    starts = [*dict.fromkeys(starts_ms(bucket) for bucket in range(13)), 64]
    assert counts(found.run) == {
        start: after - start for start, after in pairwise(starts)
    }


@pytest.mark.parametrize("power", [*range(32), 40])
def test_powers_of_two_begin_a_bucket(store: Store, power: int):
    store.add()
    worker = store.worker()
    worker.settle(*worker.claim(), started_ms=9, finished_ms=9 + 2**power)

    assert counts(spread_of(store).run) == {2 ** min(power, 31): 1}


def test_times_are_kept_as_long_as_they_are_shown(store: Store):
    run(store)
    run(store)

    minute = store.now_ms() // 60_000
    for bucket, number, least, most in (
        ("minute", minute, 3_660, 7_200),
        ("hour", minute // 60, 7 * 86_400 + 3_600, 8 * 86_400),
    ):
        keys = [store.keys.spread(bucket, at, "q") for at in (number, number - 1)]
        left = [store.client.ttl(key) for key in keys if store.client.exists(key)]
        assert left
        assert all(least < seconds <= most for seconds in left)


@pytest.mark.parametrize("bucket", ["minute", "hour"])
def test_a_foreign_key_in_place_of_times_is_moved_aside(store: Store, bucket: str):
    number = store.now_ms() // {"minute": 60_000, "hour": 3_600_000}[bucket]
    names = [store.keys.spread(bucket, at, "q") for at in (number, number + 1)]
    for name in names:
        store.client.rpush(name, "junk")

    run(store)

    assert spread_of(store, bucket=bucket).run.total == 1
    assert [reason.endswith("wrong-type") for reason, _ in store.aside()] == [True]
    kept = [name for name in names if store.client.type(name) == b"string"]
    assert len(kept) == 1
    assert store.client.ttl(kept[0]) > 0


def test_large_numbers_are_counted_exactly(store: Store):
    (added,) = store.add()
    worker = store.worker()
    (claimed,) = worker.claim()
    claimed.enqueued_ms = 1
    worker.settle(claimed, started_ms=2**42, finished_ms=2**42 + 10**13)

    record = store.record(added)
    assert (record.started_ms, record.finished_ms) == (2**42, 2**42 + 10**13)
    (fields,) = store.statistics(1)
    assert fields["q:q:run_ms"] == 10**13
    assert fields["q:q:wait_ms"] == 2**42 - 1


def test_large_counts_in_a_state_are_kept(store: Store, look: Look):
    (added,) = store.add()
    worker = store.worker(max_crashes=2**40)
    (claimed,) = worker.claim()
    fields = {"run": 2**33, "attempts": 2**34, "crashes": 2**35}
    store.client.hset(store.keys.state(added), mapping=fields)
    worker.settle(claimed, kind="released")

    (claimed,) = worker.claim()

    assert (claimed.run, claimed.attempts, claimed.crashes) == (
        2**33 + 1,
        2**34,
        2**35,
    )
    store.rescue(worker, [claimed], max_crashes=2**40)
    assert store.record(added).crashes == 2**35 + 1
    look()


# -- looking ---------------------------------------------------------------------------


def test_a_page_of_each_status(store: Store):
    worker = store.worker()
    expected: dict[JobStatus, list[str]] = {}
    for status in (*sorted(ENDED - {JobStatus.EXPIRED}), JobStatus.PARKED):
        added = store.add(number=5)
        for claimed in worker.claim(5):
            worker.settle(claimed, kind=status.value)
        expected[status] = added
    expected[JobStatus.EXPIRED] = store.add(number=5, ttl_ms=0)
    worker.claim()
    expected[JobStatus.RUNNING] = store.add(number=5)
    worker.claim(5)
    expected[JobStatus.SCHEDULED] = [
        store.add(delay_ms=60_000 * number)[0] for number in range(1, 6)
    ]
    plain = store.add(number=2)
    low, high = store.add(priority=-1), store.add(number=2, priority=1)
    expected[JobStatus.PENDING] = [*high, *plain, *low]

    for status, added in expected.items():
        for offset, limit in ((0, 10), (0, 2), (2, 2), (4, 3), (9, 5)):
            total, records = store.do(
                inspection.page(store.keys, "q", status, offset, limit)
            )
            assert total == 5
            assert all(record.status is status for record in records)
            found = [record.id for record in records]
            if status in ENDED or status is JobStatus.PARKED:
                assert len(found) == len(added[offset : offset + limit])
                assert set(found) <= set(added)
            else:
                assert found == added[offset : offset + limit]


def test_counts_of_each_status(store: Store):
    worker = store.worker()
    for kind in ("succeeded", "failed", "cancelled", "parked"):
        store.add()
        worker.settle(*worker.claim(), kind=kind)
    store.add(ttl_ms=0)
    worker.claim()
    store.add(number=2)
    worker.claim(2)
    store.add(number=3)
    store.add(number=2, priority=4)
    store.add(delay_ms=60_000)

    (counts, empty) = store.do(inspection.counts(store.keys, ["q", "empty"]))

    assert (counts.pending, counts.scheduled, counts.running) == (5, 1, 2)
    assert (counts.succeeded, counts.failed, counts.cancelled) == (1, 1, 1)
    assert (counts.expired, counts.parked, counts.paused) == (1, 1, None)
    assert empty == QueueCounts("empty")
    assert store.do(inspection.queues(store.keys)) == ["q"]


def test_workers_and_what_they_hold(store: Store):
    worker, idle = store.worker(name="a"), store.worker(name="b")
    added = store.add(number=2)
    worker.claim(2)

    found = store.do(staff.workers(store.keys))

    assert {one.id: list(one.held) for one in found} == {"a": added, "b": []}
    assert {one.info["host"] for one in found} == {"here"}
    now_ms = store.now_ms()
    assert all(now_ms < one.lease_ends_ms <= now_ms + 30_000 for one in found)
    store.rescue(idle)
    assert [one.id for one in store.do(staff.workers(store.keys))] == ["a"]


def age(store: Store, job_id: str, seconds: int) -> None:
    """Have a job come in so much earlier."""
    raw = store.client.get(store.keys.job(job_id)) or b""
    enqueued = store.record(job_id).enqueued_ms
    older = raw.replace(b"%d" % enqueued, b"%d" % (enqueued - 1000 * seconds), 1)
    store.client.set(store.keys.job(job_id), older)


def test_latency_is_the_age_of_the_head(store: Store):
    assert store.do(inspection.latency(store.keys, "q")) == 0.0
    (added,) = store.add()
    age(store, added, 90)

    assert 90 <= store.do(inspection.latency(store.keys, "q")) < 95
    worker = store.worker()
    worker.settle(*worker.claim())
    store.retry(added)
    # It waits from its retry on.
    assert store.do(inspection.latency(store.keys, "q")) < 5


@pytest.mark.parametrize("again", ["retry", "crash"])
def test_who_runs_again_waits_since_it_was_ready_again(store: Store, again: str):
    (added,) = store.add()
    age(store, added, 90)
    worker = store.worker()
    (claimed,) = worker.claim()
    if again == "retry":
        worker.settle(claimed, kind="retry", delay_ms=0, attempt=attempt(claimed))
    else:
        store.rescue(worker, [claimed])

    assert store.do(inspection.latency(store.keys, "q")) < 5


@pytest.mark.parametrize("number", [130, 1_101])
def test_latency_looks_behind_what_was_cancelled(store: Store, number: int):
    *first, last = store.add(number=number)
    age(store, last, 90)
    store.cancel(*first)
    # Those that were cancelled do not hide what has a priority, either.
    store.add(priority=3)

    assert 90 <= store.do(inspection.latency(store.keys, "q")) < 95


def test_latency_is_that_of_any_priority(store: Store):
    for priority in (100, 5, -1, -100):
        first, _ = store.add(number=2, priority=priority)
        age(store, first, 90)
        assert 90 <= store.do(inspection.latency(store.keys, "q")) < 95
        age(store, first, -90)
    assert store.do(inspection.latency(store.keys, "q")) < 5
    key = store.keys.priority("q")
    store.client.zadd(key, {"strange": float("inf"), "odd": float("-inf")})
    assert store.do(inspection.latency(store.keys, "q")) < 5


def test_the_attempts_of_a_long_story(store: Store):
    (added,) = store.add()
    worker = store.worker()
    (claimed,) = worker.claim()
    worker.settle(claimed, kind="retry", delay_ms=0, attempt=attempt(claimed))
    (claimed,) = worker.claim()
    store.rescue(worker, [claimed])
    worker = store.worker()
    (claimed,) = worker.claim()
    assert (claimed.attempts, claimed.crashes, claimed.run) == (1, 1, 3)
    worker.settle(claimed)

    record = store.record(added)
    assert [one.outcome for one in record.attempts] == [
        *("failed", "crashed", "succeeded"),
    ]
    assert [one.run for one in record.attempts] == [1, 2, 3]
    assert (record.attempts_made, record.crashes) == (2, 1)
    assert DEFAULT_KEEP[JobStatus.SUCCEEDED].count > 0
    assert ids([claimed]) == [added]
