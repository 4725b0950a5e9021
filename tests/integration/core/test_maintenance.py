"""What workers do for all: leases, what falls due, what is old."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from django_redisjobs.core.exceptions import LeaseLost, SchemaMismatch
from django_redisjobs.core.records import (
    DEFAULT_KEEP,
    ENDED,
    JobStatus,
    Keep,
)

from .places import Places
from .store import LEASE_MS, Store, attempt, ids, job, settlement

Look = Callable[[], Places]


def lease_ends_ms(store: Store, name: str) -> int:
    score = store.client.zscore(store.keys.workers, name)
    assert score is not None
    return int(score)


# -- leases ------------------------------------------------------------------------


def test_a_worker_that_fell_silent_is_rescued_by_any_step(store: Store, look: Look):
    added = store.add(number=2)
    silent, other = store.worker(), store.worker()
    silent.claim(2)
    store.end_lease(silent)

    exchange = other.exchange([], want=5)

    assert ids(exchange.jobs) == added
    assert [one.crashes for one in exchange.jobs] == [1, 1]
    (crashed,) = store.record(added[0]).attempts
    assert crashed.message == "crashed: the worker was lost (its lease ended)"
    with pytest.raises(LeaseLost):
        silent.claim()
    look()


def test_a_beat_rescues_too_and_says_who_is_lost(store: Store, look: Look):
    (added,) = store.add()
    silent, alive = store.worker(), store.worker()
    silent.claim()
    store.end_lease(silent)

    reply = store.beat(silent, alive, "unheard-of")

    assert reply.lost == (silent.name, "unheard-of")
    assert look().status[added] is JobStatus.PENDING
    assert lease_ends_ms(store, alive.name) > reply.server_ms + LEASE_MS - 1000


def test_a_beat_renews_the_leases_of_many(store: Store):
    workers = [store.worker() for _ in range(5)]
    ends = dict.fromkeys((one.name for one in workers), store.now_ms() + 5000)
    store.client.zadd(store.keys.workers, ends)
    store.maintain_now()

    reply = store.beat(*workers[:3])

    assert reply.lost == ()
    left = [lease_ends_ms(store, one.name) - reply.server_ms for one in workers]
    assert left[:3] == [LEASE_MS] * 3
    assert max(left[3:]) <= 5000


def test_a_step_renews_no_lease(store: Store):
    """Only who watches over the process may say that it lives."""
    worker = store.worker()
    before = lease_ends_ms(store, worker.name)
    store.client.zadd(store.keys.workers, {worker.name: before - 1000})
    store.maintain_now()

    worker.claim()

    assert lease_ends_ms(store, worker.name) == before - 1000


def test_more_dead_workers_than_one_step_rescues(store: Store, look: Look):
    added = store.add(number=25)
    dead = [store.worker() for _ in range(25)]
    for worker in dead:
        worker.claim()
    other = store.worker()
    store.end_lease(*dead)

    got: list[str] = []
    steps = 0
    while len(got) < 25 and steps < 4:
        steps += 1
        exchange = other.exchange([], want=100)
        got += ids(exchange.jobs)
        assert exchange.more or len(got) == 25

    assert sorted(got) == sorted(added)
    look()


@pytest.mark.parametrize("gap_ms", [LEASE_MS // 2 + 1000, 3_600_000, -60_000])
def test_when_redis_was_away_nobody_is_rescued(store: Store, look: Look, gap_ms: int):
    """Nobody could beat meanwhile; or its clock jumped."""
    added = store.add(number=2)
    workers = [store.worker(), store.worker()]
    for worker in workers:
        worker.claim()
    now_ms = store.now_ms()
    store.client.zadd(
        store.keys.workers, {one.name: now_ms - gap_ms for one in workers}
    )
    store.client.set(store.keys.base + "maintained", now_ms - gap_ms)

    exchange = workers[0].exchange([], want=5)

    assert exchange.jobs == []
    assert look().of(JobStatus.RUNNING) == set(added)
    for worker in workers:
        assert -1 <= lease_ends_ms(store, worker.name) - now_ms - LEASE_MS < 2000
    assert int(store.client.get(store.keys.base + "maintained") or 0) >= now_ms


def test_who_died_of_a_later_version_is_left_to_that(store: Store):
    store.add()
    dead, alive = store.worker(), store.worker()
    dead.claim()
    store.end_lease(dead)
    store.client.set(store.keys.schema, "2")

    store.maintain_now()
    alive.settle()

    assert store.client.zscore(store.keys.workers, dead.name) is not None


def test_who_has_shorter_leases_leaves_longer_ones_as_they_are(store: Store):
    """As while workers of other settings take over: to them it seems longer away."""
    (added,) = store.add()
    old = store.worker(lease_ms=60_000)
    old.claim()
    before = lease_ends_ms(store, old.name)
    store.client.set(store.keys.base + "maintained", store.now_ms() - 10_000)

    new = store.worker(lease_ms=5_000)
    new.claim()

    assert lease_ends_ms(store, old.name) == before
    assert store.status(added) is JobStatus.RUNNING


def away_for(store: Store, gap_ms: int) -> None:
    """As if nothing had been heard of anybody for so long."""
    now_ms = store.now_ms()
    key = store.keys.base + "maintained"
    store.client.set(key, int(store.client.get(key) or now_ms) - gap_ms)
    for name, lease in store.client.zrange(store.keys.workers, 0, -1, withscores=True):
        store.client.zadd(store.keys.workers, {name: lease - gap_ms})
        record = store.keys.worker(name.decode())
        for mark in ("spared", "extended"):
            if granted := store.client.hget(record, mark):
                store.client.hset(record, mark, int(granted) - gap_ms)


def test_who_died_is_rescued_also_where_workers_come_but_once_an_hour(
    store: Store, look: Look
):
    """Each of their calls finds that nobody called for long."""
    (added,) = store.add()
    dead = store.worker()
    dead.claim()
    got: list[str] = []
    for _ in range(2):
        away_for(store, 3_600_000)
        worker = store.worker()
        got += ids(worker.claim())
        look()
        store.rescue(worker, charged=False)

    assert got == [added]
    assert store.client.zcard(store.keys.workers) == 0


@pytest.mark.parametrize("recorded", [True, False])
def test_who_died_is_rescued_also_where_workers_come_before_its_lease_ends(
    store: Store, look: Look, recorded: bool
):
    """Each of them finds that nobody called for more than half a lease."""
    (added,) = store.add()
    dead = store.worker()
    dead.claim()
    if not recorded:
        store.client.delete(store.keys.worker(dead.name))
    got: list[str] = []
    for _ in range(5):
        away_for(store, LEASE_MS * 2 // 3)
        worker = store.worker()
        got += ids(worker.claim())
        store.rescue(worker, charged=False)

    assert got[:1] == [added]


def test_who_was_heard_of_is_spared_again(store: Store, look: Look):
    store.add()
    worker = store.worker()
    (claimed,) = worker.claim()
    for _ in range(3):
        away_for(store, 3_600_000)
        assert store.beat("somebody").lost == ("somebody",)
        assert look().claims[claimed.id] == (worker.name, claimed.token)
        assert store.beat(worker).lost == ()

    assert worker.settle(claimed).refused == ()


def test_a_second_short_absence_kills_nobody(store: Store):
    worker = store.worker()
    away_for(store, LEASE_MS)
    store.beat("somebody")
    away_for(store, LEASE_MS - 1000)

    assert store.beat(worker).lost == ()


def test_a_short_stop_of_redis_rescues_who_is_dead(store: Store):
    (added,) = store.add()
    dead, alive = store.worker(), store.worker()
    dead.claim()
    now_ms = store.now_ms()
    store.client.zadd(store.keys.workers, {dead.name: now_ms - 1})
    store.client.set(store.keys.base + "maintained", now_ms - LEASE_MS // 2 + 1000)

    assert ids(alive.claim()) == [added]


def test_the_maintenance_is_done_at_most_every_100_ms(store: Store):
    dead, alive = store.worker(), store.worker()
    store.end_lease(dead)
    store.client.set(store.keys.base + "maintained", store.now_ms())

    alive.claim()
    kept = store.client.zscore(store.keys.workers, dead.name)
    store.maintain_now()
    alive.claim()

    assert kept is not None
    assert store.client.zscore(store.keys.workers, dead.name) is None


def test_a_lease_that_ended_does_not_make_a_worker_spin(store: Store):
    """Until the maintenance is due again there is nothing to be called for."""
    dead, alive = store.worker(), store.worker()
    store.end_lease(dead)
    store.client.set(store.keys.base + "maintained", store.now_ms())

    exchange = alive.exchange([], want=1)

    assert not exchange.more
    assert exchange.due_in_ms is not None
    assert exchange.due_in_ms > 50


def test_how_long_a_worker_may_sleep(store: Store):
    worker = store.worker()
    exchange = worker.exchange([], want=1)
    assert exchange.due_in_ms is not None
    assert LEASE_MS - 2000 < exchange.due_in_ms <= LEASE_MS
    store.add(delay_ms=9_000)
    store.add("other", delay_ms=3_000)

    exchange = worker.exchange([], want=1)

    assert exchange.due_in_ms is not None
    assert 7_000 < exchange.due_in_ms <= 9_000


def test_of_a_later_versions_data_nothing_more_is_claimed(store: Store, look: Look):
    first, second = store.add(number=2)
    worker = store.worker()
    (one,) = worker.claim()
    store.client.set(store.keys.schema, "2")

    with pytest.raises(SchemaMismatch, match="of version '2'"):
        worker.exchange([settlement(one)], want=1)

    found = look()
    assert found.status[first] is JobStatus.SUCCEEDED
    assert found.status[second] is JobStatus.PENDING
    worker.settle()
    store.client.set(store.keys.schema, "1")
    assert ids(worker.claim()) == [second]


# -- promotion ---------------------------------------------------------------------


def test_none_is_early_and_none_is_forgotten(store: Store, look: Look):
    late = store.add(number=3, delay_ms=60_000)
    due = store.add(number=3, delay_ms=60_000)
    store.make_due(*due)
    worker = store.worker()

    assert sorted(ids(worker.claim(10))) == sorted(due)

    assert look().of(JobStatus.SCHEDULED) == set(late)


def test_thousands_that_fall_due_at_one_instant(store: Store, look: Look):
    added = store.add(number=2500, delay_ms=60_000)
    store.make_due(*added)
    worker = store.worker()

    exchange = worker.exchange([], want=10)

    assert exchange.more
    found = look()
    assert len(found.of(JobStatus.SCHEDULED)) == 1500
    got = ids(exchange.jobs)
    while jobs := worker.claim(500):
        got += ids(jobs)
    assert sorted(got) == sorted(added)
    look()


def test_what_falls_due_is_claimed_by_due_time(store: Store):
    first, second, third = (store.add(delay_ms=60_000)[0] for _ in range(3))
    key = store.keys.scheduled("q")
    store.client.zadd(key, {third: 10, first: 20, second: 30})

    assert ids(store.worker().claim(3)) == [third, first, second]


def test_priority_holds_after_the_promotion(store: Store, look: Look):
    plain = store.add(delay_ms=60_000)
    high = store.add(delay_ms=60_000, priority=5)
    low = store.add(delay_ms=60_000, priority=-5)
    store.make_due(*low, *plain, *high)
    store.pause()
    worker = store.worker()
    worker.claim()
    found = look()
    assert found.place[high[0]] == found.place[low[0]] == "priority:q"
    store.resume()

    assert ids(worker.claim(3)) == [*high, *plain, *low]


def test_what_falls_due_among_many_is_not_alike(store: Store, look: Look):
    """Retries, priorities, and what should not be scheduled, among those delayed."""
    worker = store.worker()
    plain = store.add(number=250, delay_ms=60_000)
    high = store.add(number=2, delay_ms=60_000, priority=5)
    running, parked, retried = store.add(number=3)
    held, aside, failed = worker.claim(3)
    worker.settle(aside, kind="parked")
    worker.settle(failed, kind="retry", delay_ms=60_000)
    (gone,) = store.add(delay_ms=60_000)
    store.client.delete(store.keys.job(gone))
    (foreign,) = store.add(delay_ms=60_000)
    store.client.delete(store.keys.job(foreign))
    store.client.sadd(store.keys.job(foreign), "somebody else's")
    # In the middle of the others.
    everything = [*plain[:120], *high, running, parked, retried, gone, foreign]
    store.make_due(*everything, *plain[120:])

    claimed = worker.claim(500)

    assert ids(claimed[:2]) == sorted(high)
    assert sorted(ids(claimed[2:])) == sorted([*plain, retried])
    assert [one.attempts for one in claimed if one.id == retried] == [1]
    found = look()
    assert found.status[running] is JobStatus.RUNNING
    assert found.status[parked] is JobStatus.PARKED
    assert not found.of(JobStatus.SCHEDULED)
    assert held.id == running


def test_a_retry_waits_for_its_time(store: Store, look: Look):
    (added,) = store.add()
    worker = store.worker()
    (one,) = worker.claim()
    worker.settle(one, kind="retry", delay_ms=60_000)
    assert worker.claim() == []
    score = store.client.zscore(store.keys.scheduled("q"), added)
    assert score is not None
    assert abs(score - store.now_ms() - 60_000) < 2000
    store.make_due(added)

    (again,) = worker.claim()

    assert (again.id, again.run, again.attempts) == (added, 2, 1)
    look()


def test_a_deleted_delayed_job_enqueued_again_later_is_not_early(
    store: Store, look: Look
):
    """The tombstone of the first must not start the second before its time."""
    (added,) = store.add()
    store.delete(added)
    store.enqueue(job(id=added, delay_ms=60_000))
    look()

    assert store.worker().claim(5) == []

    assert look().status[added] is JobStatus.SCHEDULED


# -- retention ---------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted(ENDED))
def test_not_more_are_kept_than_told(store: Store, look: Look, status: JobStatus):
    keep = {**DEFAULT_KEEP, status: Keep(3_600_000, 10)}
    more = {"ttl_ms": 0} if status is JobStatus.EXPIRED else {}
    added = store.add(number=30, **more)
    worker = store.worker(keep=keep)
    for _ in range(3):
        if status is JobStatus.EXPIRED:
            assert worker.claim(10) == []
        else:
            worker.settle(*worker.claim(10), kind=status.value)
    store.maintain_now()
    worker.claim()

    found = look()
    assert found.of(status) <= set(added)
    assert len(found.of(status)) == 10


def test_the_newest_are_kept(store: Store, look: Look):
    keep = {JobStatus.SUCCEEDED: Keep(3_600_000, 10)}
    added = store.add(number=40)
    worker = store.worker(keep=keep)
    for _ in range(4):
        worker.settle(*worker.claim(10))
        # Each batch a second later, as it were.
        key = store.keys.ended("succeeded", "q")
        for raw, score in store.client.zrange(key, 0, -1, withscores=True):
            store.client.zadd(key, {raw: score - 1000})

    assert look().of(JobStatus.SUCCEEDED) == set(added[-10:])


def test_nothing_is_kept_where_nothing_is_wanted(store: Store, look: Look):
    worker = store.worker(keep={JobStatus.SUCCEEDED: Keep(3_600_000, 0)})
    store.add(number=10)

    worker.settle(*worker.claim(10))

    assert look().status == {}


def test_the_old_go_whatever_their_number(store: Store, look: Look):
    added = store.add(number=300)
    worker = store.worker()
    worker.settle(*worker.claim(300), result='"x"', result_ttl_ms=60_000)
    key = store.keys.ended("succeeded", "q")
    hours_ago = store.now_ms() - 3_700_000
    store.client.zadd(key, dict.fromkeys(added[:250], hours_ago))

    for _ in range(3):
        store.maintain_now()
        worker.claim()

    assert look().of(JobStatus.SUCCEEDED) == set(added[250:])


@pytest.mark.parametrize("size", [1, 64, 1500])
def test_retention_keeps_up_at_any_size_of_a_step(store: Store, look: Look, size: int):
    keep = {JobStatus.SUCCEEDED: Keep(3_600_000, 20)}
    worker = store.worker(keep=keep)
    for _ in range(3):
        store.add(number=size)
        jobs = worker.claim(size)
        worker.exchange([settlement(one) for one in jobs])

    assert len(look().of(JobStatus.SUCCEEDED)) <= 20


def test_what_ended_is_trimmed_with_all_it_had(store: Store):
    (added,) = store.add()
    worker = store.worker(keep={JobStatus.FAILED: Keep(0, 10)})
    (one,) = worker.claim()

    worker.settle(one, kind="failed")

    assert store.status(added) is None
    left = [
        key
        for key in store.client.scan_iter(f"{store.keys.base}*")
        if added in key.decode()
    ]
    assert left == []


# -- expiry ------------------------------------------------------------------------


def test_what_did_not_start_in_time_never_starts(store: Store, look: Look):
    expired = store.add(number=2, ttl_ms=0)
    kept = store.add(ttl_ms=60_000)
    worker = store.worker()

    assert ids(worker.claim(5)) == kept

    assert look().of(JobStatus.EXPIRED) == set(expired)
    assert store.record(expired[0]).error == "expired before it could start"


def let_expire(store: Store, job_id: str) -> None:
    """As if its time to start were over."""
    record = store.client.get(store.keys.job(job_id)) or b""
    expires = b"%d" % store.record(job_id).expires_ms
    store.client.set(store.keys.job(job_id), record.replace(expires, b"1", 1))


@pytest.mark.parametrize("how", ["crash", "lost", "retry", "released"])
def test_what_started_in_time_is_finished_however_late(
    store: Store, look: Look, how: str
):
    (added,) = store.add(ttl_ms=60_000)
    worker = store.worker()
    (claimed,) = worker.claim()
    if how == "retry":
        worker.settle(claimed, kind="retry", delay_ms=0, attempt=attempt(claimed))
    elif how == "released":
        worker.settle(claimed, kind="released")
    else:
        store.rescue(worker, [claimed] if how == "crash" else None)
    let_expire(store, added)

    worker = store.worker()
    (claimed,) = worker.claim(fresh=True)
    worker.settle(claimed)

    assert look().status[added] is JobStatus.SUCCEEDED


def test_what_was_handed_back_unstarted_expires(store: Store, look: Look):
    (added,) = store.add(ttl_ms=60_000)
    worker = store.worker()
    (claimed,) = worker.claim()
    worker.settle(claimed, kind="released", started_ms=0)
    let_expire(store, added)

    assert worker.claim() == []

    assert look().status[added] is JobStatus.EXPIRED


def test_the_time_to_live_counts_from_the_due_time(store: Store, look: Look):
    added = store.add(delay_ms=60_000, ttl_ms=1000)
    record = store.record(added[0])

    assert record.expires_ms == record.due_ms + 1000
    look()


def test_an_expired_tombstone_ends_once(store: Store, look: Look):
    (added,) = store.add(ttl_ms=60_000)
    store.delete(added)
    store.enqueue(job(id=added, ttl_ms=0))

    assert store.worker().claim(5) == []

    assert look().status[added] is JobStatus.EXPIRED


# -- what a beat tells ----------------------------------------------------------------


def test_a_beat_tells_what_there_is_to_care_for(store: Store):
    mine, other = store.worker(), store.worker()
    assert store.beat(mine, other).others == ()
    assert store.beat(mine).others == (other.name,)
    assert store.beat(mine).parked == ()

    store.add()
    mine.settle(*mine.claim(), kind="parked")

    assert store.beat(mine, queues=("low", "q")).parked == ("q",)
    assert store.beat(mine, queues=("low",)).parked == ()


def test_a_queue_that_nobody_serves_now_is_trimmed_too(store: Store):
    """As one that a worker comes to at night only."""
    keep = {JobStatus.SUCCEEDED: Keep(3_600_000, 10)}
    for queue in ("reports", "other", "third"):
        store.add(queue)
        worker = store.worker(queue)
        worker.settle(*worker.claim())
        index = store.keys.ended("succeeded", queue)
        (member,) = store.client.zrange(index, 0, -1)
        store.client.zadd(index, {member: 1})

    busy = store.worker("q", keep=keep)
    for _ in range(2_000):
        store.maintain_now()
        busy.exchange([])
        sizes = [
            store.client.zcard(store.keys.ended("succeeded", queue))
            for queue in ("reports", "other", "third")
        ]
        if not any(sizes):
            return
    raise AssertionError(f"nobody came to trim: {sizes}")
