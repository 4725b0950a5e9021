"""In which order work is claimed, when it becomes ready, and who is woken for it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from django_redisjobs.core import inspection
from django_redisjobs.core.producer import forget_sent
from django_redisjobs.core.records import ON_FAILURE, REMEMBERED, JobStatus

from .places import Places
from .store import Store, ids, job, settlement

Look = Callable[[], Places]


# -- priorities --------------------------------------------------------------------


def test_every_priority_in_order_and_first_in_first_out_within_one(
    store: Store, look: Look
):
    jobs = [job(priority=level) for level in range(-100, 101) for _ in range(2)]
    random.Random(5).shuffle(jobs)
    store.enqueue(*jobs)
    look()

    claimed = ids(store.worker().claim(1000))

    expected = sorted(jobs, key=lambda one: -one.priority)
    assert claimed == [one.id for one in expected]


def test_released_work_goes_to_the_head_of_its_own_level(store: Store, look: Look):
    added = {level: store.add(number=3, priority=level) for level in (100, 1, -1, -100)}
    worker = store.worker()
    jobs = worker.claim(12)
    worker.settle(*[jobs[index] for index in (0, 1, 4, 6, 7, 11)], kind="released")
    look()

    again = ids(worker.claim(12))

    assert again == [
        *(added[100][0], added[100][1]),
        added[1][1],
        *(added[-1][0], added[-1][1]),
        added[-100][2],
    ]


def test_released_and_later_ones_of_a_level(store: Store):
    first, second = store.add(number=2, priority=9)
    worker = store.worker()
    (one,) = worker.claim()
    (third,) = store.add(priority=9)
    worker.settle(one, kind="released")

    assert ids(worker.claim(3)) == [first, second, third]


def test_the_order_holds_at_a_large_counter(store: Store):
    store.client.set(store.keys.base + "sequence", 2**45 - 100)
    levels = [100, 99, 1, -1, -99, -100]
    added = {level: store.add(number=3, priority=level) for level in levels}
    worker = store.worker()
    jobs = worker.claim(18)
    assert ids(jobs) == [one for level in levels for one in added[level]]

    worker.settle(*jobs, kind="released")

    assert ids(worker.claim(18)) == ids(jobs)


# -- due times -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "times",
    [
        *({"delay_ms": 0}, {"delay_ms": -5000}, {"due_ms": 0}, {"due_ms": 1}),
        {"due_ms": 1_600_000_000_000},
    ],
)
def test_a_time_that_has_passed_means_now(store: Store, look: Look, times: dict):
    (added,) = store.add(**times)

    assert look().status[added] is JobStatus.PENDING
    assert store.record(added).due_ms == 0
    assert ids(store.worker().claim()) == [added]


@pytest.mark.parametrize("due_ms", [2**31 * 1000, 10**14, 2**53 - 10])
def test_a_far_time_is_kept_exactly(store: Store, look: Look, due_ms: int):
    (added,) = store.add(due_ms=due_ms, ttl_ms=1)

    record = store.record(added)
    assert (record.due_ms, record.status) == (due_ms, JobStatus.SCHEDULED)
    assert record.expires_ms == due_ms + 1
    assert store.client.zscore(store.keys.scheduled("q"), added) == due_ms
    assert store.worker().claim() == []
    look()


def test_a_delay_counts_from_the_servers_now(store: Store):
    before = store.now_ms()
    (added,) = store.add(delay_ms=12_345)

    assert before + 12_345 <= store.record(added).due_ms <= store.now_ms() + 12_345


# -- waking --------------------------------------------------------------------------


def test_there_is_a_token_a_job_and_at_most_eight(store: Store):
    store.add(number=3)
    assert store.tokens() == 3
    store.add(number=20)
    assert store.tokens() == 8
    store.add(number=2, priority=1)
    assert store.tokens() == 8


def test_work_of_any_kind_wakes(store: Store):
    worker = store.worker()
    key = store.keys.wake("q")

    def woken(action: Callable[[], object]) -> int:
        store.client.delete(key)
        action()
        return store.tokens()

    (added,) = store.add()
    (claimed,) = worker.claim()
    assert woken(lambda: worker.settle(claimed, kind="released")) == 1
    (claimed,) = worker.claim()
    assert woken(lambda: worker.settle(claimed, kind="parked")) == 0
    assert woken(lambda: store.unpark(added)) == 1
    (claimed,) = worker.claim()
    worker.settle(claimed)
    assert woken(lambda: store.retry(added)) == 1
    (claimed,) = worker.claim()
    assert woken(lambda: worker.settle(claimed, kind="retry", delay_ms=9000)) == 8
    store.make_due(added)
    store.pause()
    assert woken(worker.claim) == 0
    assert woken(store.resume) == 8


def test_a_new_earliest_due_time_wakes_all_sleepers(store: Store):
    """All have to know it: some may be busy then."""

    def woken(delay_ms: int) -> int:
        store.client.delete(store.keys.wake("q"))
        store.add(delay_ms=delay_ms)
        return store.tokens()

    assert woken(60_000) == 8
    assert woken(70_000) == 0
    assert woken(50_000) == 8


def test_who_settles_a_retry_tells_the_sleepers_when_it_is_due(store: Store):
    """Also if it finds nothing else to do in the same step."""
    store.add()
    worker = store.worker()
    (claimed,) = worker.claim()
    store.client.delete(store.keys.wake("q"))

    exchange = worker.exchange([settlement(claimed, "retry", delay_ms=9000)], want=1)

    assert exchange.jobs == []
    assert store.tokens() == 8


def test_the_baton_wakes_the_next_one_while_work_is_left(store: Store):
    """A bulk of jobs has eight tokens, and every worker must hear of it."""
    store.add(number=100)
    woken = 0
    while store.client.lpop(store.keys.wake("q")):
        woken += 1
        assert store.worker().claim(1)

    assert woken == 100


def test_the_baton_is_passed_for_queues_that_were_not_looked_at(store: Store):
    store.add("high", 5)
    store.add("low", 5)
    store.client.delete(store.keys.wake("high"), store.keys.wake("low"))

    store.worker("high", "low").claim(2)

    assert (store.tokens("high"), store.tokens("low")) == (1, 1)
    store.worker("high", "low").claim(2)
    assert (store.tokens("high"), store.tokens("low")) == (1, 1)


def test_no_baton_where_nothing_is_left(store: Store):
    store.add(number=3)
    store.client.delete(store.keys.wake("q"))

    store.worker().claim(3)

    assert store.tokens() == 0


def add_due(store: Store, number: int) -> None:
    """Delayed jobs that are due, and nobody is told yet."""
    store.make_due(*store.add(number=number, delay_ms=60_000))
    store.client.delete(store.keys.wake("q"))


def test_what_one_step_takes_wakes_nobody_else(store: Store):
    add_due(store, 3)

    assert len(store.worker().claim(3)) == 3
    assert store.tokens() == 0


def test_what_fell_due_beyond_one_step_wakes_others(store: Store):
    add_due(store, 20)

    assert len(store.worker().claim(5)) == 5
    assert store.tokens() == 8


def test_what_is_due_beyond_what_one_step_makes_ready_wakes_others(store: Store):
    add_due(store, 1001)

    assert len(store.worker().claim(1000)) == 1000
    assert store.tokens() == 1
    assert len(store.worker().claim(1000)) == 1


def test_who_finds_nothing_takes_the_tokens_away(store: Store):
    """Else it would be woken up to eight times, for nothing, before it can sleep."""
    store.add("high", 8)
    store.add("low", 8)
    worker = store.worker("high", "low")
    assert len(worker.claim(64)) == 16
    assert (store.tokens("high"), store.tokens("low")) == (8, 8)

    worker.exchange([], want=0)
    assert (store.tokens("high"), store.tokens("low")) == (8, 8)
    store.worker("high").exchange([], want=1)
    assert (store.tokens("high"), store.tokens("low")) == (0, 8)
    worker.exchange([], want=1)
    assert (store.tokens("high"), store.tokens("low")) == (0, 0)


def test_tokens_stay_while_there_may_be_more(store: Store):
    gone = store.add(number=1500)
    store.cancel(*gone)
    worker = store.worker()

    assert worker.exchange([], want=1).more
    assert store.tokens() == 8
    assert not worker.exchange([], want=1).more
    assert store.tokens() == 0


def test_a_paused_queue_starts_nothing_and_does_not_spin(store: Store, look: Look):
    added = store.add(number=3)
    store.pause()
    worker = store.worker()
    store.add(delay_ms=60_000)
    due = store.add(delay_ms=60_000)
    store.make_due(*due)
    store.client.delete(store.keys.wake("q"))

    for _ in range(3):
        exchange = worker.exchange([], want=5)
        assert exchange.jobs == []
        assert not exchange.more
        assert exchange.due_in_ms is not None
        assert exchange.due_in_ms > 20_000
        assert store.tokens() == 0

    assert look().of(JobStatus.PENDING) == {*added, *due}
    assert store.resume()
    assert not store.resume()
    assert sorted(ids(worker.claim(5))) == sorted([*added, *due])


def test_a_paused_queue_does_not_hold_up_the_others(store: Store):
    store.add("high")
    low = store.add("low")
    store.pause("high")

    assert ids(store.worker("high", "low").claim(5)) == low


def test_not_one_job_more_starts_after_the_pause(store: Store):
    store.add(number=10)
    worker = store.worker()
    worker.claim(2)

    store.pause(reason="deploy", by="anna")

    assert worker.claim(5) == []
    (counts,) = store.do(inspection.counts(store.keys, ["q"]))
    assert (counts.pending, counts.running) == (8, 2)
    assert counts.paused is not None
    assert (counts.paused.reason, counts.paused.by) == ("deploy", "anna")
    assert counts.paused.until_ms == 0
    assert abs(counts.paused.since_ms - store.now_ms()) < 5000


def test_a_pause_ends_by_itself(store: Store):
    added = store.add()
    until = store.pause(for_ms=60_000)
    assert abs(until - store.now_ms() - 60_000) < 5000
    worker = store.worker()
    exchange = worker.exchange([], want=1)
    assert exchange.jobs == []
    assert exchange.due_in_ms is not None
    assert exchange.due_in_ms <= 60_000

    store.pause(until_ms=store.now_ms() - 1)

    assert ids(worker.claim()) == added
    assert store.client.hget(store.keys.paused, "q") is None


def test_a_sleeper_wakes_at_the_end_of_a_pause(store: Store):
    store.add()
    store.client.delete(store.keys.wake("q"))
    store.pause(for_ms=7_000)
    assert store.tokens() == 8

    exchange = store.worker().exchange([], want=1)

    assert exchange.due_in_ms is not None
    assert 5_000 < exchange.due_in_ms <= 7_000


# -- tombstones ----------------------------------------------------------------------


def test_a_thousand_cancelled_ones_do_not_hide_the_next(store: Store, look: Look):
    gone = store.add(number=1500)
    (last,) = store.add()
    store.cancel(*gone)
    look()
    worker = store.worker()

    first = worker.exchange([], want=100)
    second = worker.exchange([], want=100)

    assert (first.jobs, first.more) == ([], True)
    assert (ids(second.jobs), second.more) == ([last], False)
    assert not store.client.exists(store.keys.tombstones)
    look()


def test_cancelled_and_run_again_before_its_old_place_came_up(store: Store, look: Look):
    first, second, third = store.add(number=3)
    store.cancel(second)
    store.retry(second)
    look()
    worker = store.worker()

    jobs = worker.claim(2)
    look()
    worker.settle(*jobs, kind="retry", delay_ms=60_000)
    look()
    jobs = worker.claim(2)

    assert ids(jobs) == [third]
    assert look().of(JobStatus.SCHEDULED) == {first, second}


def test_counts_leave_tombstones_out(store: Store):
    added = store.add(number=5)
    store.cancel(*added[:2])
    store.delete(added[2])

    (counts,) = store.do(inspection.counts(store.keys, ["q"]))

    assert (counts.pending, counts.cancelled) == (2, 2)


def test_purge_of_thousands(store: Store, look: Look):
    store.add(number=1200)
    store.add(number=700, delay_ms=60_000)
    store.add(number=600, priority=3)
    other = store.add("other")
    worker = store.worker()
    running = ids(worker.claim(5))

    assert store.purge() == 2495

    found = look()
    assert found.of(JobStatus.PENDING) == set(other)
    assert found.of(JobStatus.RUNNING) == set(running)


# -- many in one call --------------------------------------------------------------


def test_jobs_of_all_kinds_in_one_call(store: Store, look: Look):
    plain, other = [job() for _ in range(3)], job("other")
    urgent, later = job(priority=5), job(delay_ms=60_000)
    called, ends = job(callbacks=ON_FAILURE), job(ttl_ms=1000)
    batch = [plain[0], other, plain[1], urgent, later, called, ends, plain[2]]

    assert store.enqueue(*batch) == ["new"] * 8

    found = look()
    assert found.of(JobStatus.PENDING) == {one.id for one in batch} - {later.id}
    assert found.of(JobStatus.SCHEDULED) == {later.id}
    claimed = ids(store.worker().claim(10))
    in_line = [urgent, plain[0], plain[1], called, ends, plain[2]]
    assert claimed == [one.id for one in in_line]


@pytest.mark.parametrize("known_at", [0, 499, 500, 1203])
def test_one_of_many_is_known_already(store: Store, look: Look, known_at: int):
    jobs = [job() for _ in range(1204)]
    known = jobs[known_at]
    store.enqueue(known)
    running = store.worker().claim(1)

    replies = store.enqueue(*jobs)

    assert replies.index("duplicate") == known_at
    assert replies.count("new") == 1203
    found = look()
    assert found.of(JobStatus.RUNNING) == set(ids(running)) == {known.id}
    assert found.of(JobStatus.PENDING) == {one.id for one in jobs} - {known.id}


def test_the_same_id_twice_in_one_call(store: Store, look: Look):
    first = job()
    again, other = first._replace(body='["shop.jobs.other",[],{}]'), job()

    assert store.enqueue(first, again, other) == ["new", "duplicate", "new"]

    assert look().of(JobStatus.PENDING) == {first.id, other.id}
    (claimed, _) = store.worker().claim(3)
    assert claimed.body == first.body


def test_remembered_ones_and_foreign_keys_among_many(store: Store):
    jobs = [job(), job(callbacks=REMEMBERED), job(), job("other"), job()]
    store.client.rpush(store.keys.job(jobs[2].id), "of somebody else")

    assert store.enqueue(*jobs) == ["new"] * 5
    assert store.enqueue(*jobs) == ["duplicate"] * 5

    assert set(ids(store.worker("q", "other").claim(9))) == {one.id for one in jobs}
    assert store.client.llen(store.keys.aside) == 1


# -- jobs that may be sent again, much later ---------------------------------------


def test_a_remembered_job_is_taken_once_also_when_it_is_long_gone(store: Store):
    first, plain = job(callbacks=REMEMBERED), job()
    assert store.enqueue(first, plain) == ["new", "new"]
    worker = store.worker()
    worker.settle(*worker.claim(2), kind="succeeded")
    store.client.delete(store.keys.job(first.id), store.keys.job(plain.id))

    assert store.enqueue(first, plain) == ["duplicate", "new"]
    assert 0 < store.client.pttl(store.keys.sent(first.id)) <= 7 * 86_400_000


def test_what_is_forgotten_is_taken_again(store: Store):
    again = job(callbacks=REMEMBERED)
    store.enqueue(again)
    store.client.delete(store.keys.job(again.id))

    store.do(forget_sent(store.keys, [again.id]))

    assert store.enqueue(again) == ["new"]


def test_being_remembered_is_no_callback(store: Store):
    store.enqueue(job(callbacks=REMEMBERED | ON_FAILURE))

    header = store.client.get(store.keys.job(store.worker().claim(1)[0].id))

    assert header.split(b"\n")[0].endswith(b" %d" % ON_FAILURE)
