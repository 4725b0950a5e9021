"""Jobs that people move to another queue, or make run now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_redisjobs.core import inspection, operations
from django_redisjobs.core.records import JobStatus
from tests.integration.core.places import Places
from tests.integration.core.store import Store, ids

Look = Callable[[], Places]


def move(store: Store, *jobs: str, to: str = "other") -> list[str]:
    return store.do(operations.move_many(store.keys, jobs, to))


def promote(store: Store, *jobs: str) -> list[str]:
    return store.do(operations.promote_many(store.keys, jobs))


# -- moving --------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"priority": 5}, {"priority": -5}])
def test_a_pending_job_runs_in_its_new_queue_only(store: Store, look: Look, more: Any):
    stays, moved = store.add(number=2, **more)

    assert move(store, moved) == ["moved"]

    look()
    assert store.record(moved).queue == "other"
    assert ids(store.worker("q").claim(5)) == [stays]
    assert ids(store.worker("other").claim(5)) == [moved]
    look()


def test_a_moved_job_waits_behind_those_who_wait_there(store: Store, look: Look):
    (there,) = store.add("other")
    moved = store.add(number=3)

    move(store, *moved)

    assert ids(store.worker("other", "q").claim(9)) == [there, *moved]
    assert look().of(JobStatus.PENDING) == set()


def test_a_moved_job_may_go_back(store: Store, look: Look):
    first, second = store.add(number=2)
    move(store, first)
    move(store, first, to="q")

    look()
    assert sorted(ids(store.worker().claim(9))) == sorted([first, second])
    assert store.worker("other").claim(9) == []
    look()


def test_a_scheduled_job_keeps_its_time(store: Store, look: Look):
    (moved,) = store.add(delay_ms=60_000)
    due = store.client.zscore(store.keys.scheduled("q"), moved)

    assert move(store, moved) == ["moved"]

    assert look().place[moved] == "scheduled:other"
    assert store.client.zscore(store.keys.scheduled("other"), moved) == due


def test_a_job_that_waits_for_its_retry_keeps_its_attempts(store: Store, look: Look):
    (moved,) = store.add()
    worker = store.worker()
    worker.settle(*worker.claim(), kind="retry", delay_ms=60_000)

    move(store, moved)

    assert look().place[moved] == "scheduled:other"
    record = store.record(moved)
    assert (record.run, record.attempts_made, len(record.attempts)) == (1, 1, 1)


def test_a_parked_job_moves(store: Store, look: Look):
    (moved,) = store.add()
    worker = store.worker()
    worker.settle(*worker.claim(), kind="parked")

    assert move(store, moved) == ["moved"]

    assert look().place[moved] == "parked:other"
    assert store.record(moved).error == "no such function"
    assert store.unpark(moved) == ["pending"]
    assert look().place[moved] == "pending:other"


def test_a_job_that_has_to_run_alone_still_does(store: Store, look: Look):
    (moved,) = store.add()
    for _ in range(2):
        worker = store.worker()
        store.rescue(worker, worker.claim(fresh=True))
    assert look().place[moved] == "alone:q"

    move(store, moved)

    assert look().place[moved] == "alone:other"
    assert store.worker("other").claim() == []
    (claimed,) = store.worker("other").claim(fresh=True)
    assert claimed.alone


def test_what_does_not_wait_stays(store: Store, look: Look):
    running, done = store.add(number=2)
    worker = store.worker()
    claimed = worker.claim(2)
    worker.settle(claimed[1])
    (there,) = store.add("other")

    assert move(store, running, done, there, "unknown") == [
        *("running", "ended", "same", "missing")
    ]

    assert look().place[running] == "claimed"
    assert store.record(done).queue == "q"


def test_more_than_one_chunk_moves_in_order(store: Store, look: Look):
    added = store.add(number=operations.CHUNK + 20)

    move(store, *added)

    look()
    assert store.do(inspection.counts(store.keys, ["q", "other"]))[0].pending == 0
    assert ids(store.worker("other").claim(2000)) == added


def test_purging_the_old_queue_spares_what_moved_away(store: Store, look: Look):
    stays, moved = store.add(number=2)
    move(store, moved)

    assert store.purge("q") == 1

    assert look().place == {moved: "pending:other"}
    assert store.status(stays) is None


def test_a_purge_keeps_the_counters_true_between_its_parts(store: Store, look: Look):
    added = store.add(number=1200)
    move(store, *added[100:800])
    purge = operations.purge(store.keys, "q")
    commands = next(purge)
    for _ in range(2):
        reply = store.client.execute_command(*commands[0])
        look()
        commands = purge.send([reply])

    with pytest.raises(StopIteration) as ended:
        purge.send([store.client.execute_command(*commands[0])])

    assert ended.value.value == 500
    look()


def test_pages_show_a_moved_job_in_its_new_queue_once(store: Store):
    (moved,) = store.add()
    move(store, moved)

    pages = {
        queue: store.do(inspection.page(store.keys, queue, JobStatus.PENDING, 0, 9))[1]
        for queue in ("q", "other")
    }

    assert [record.id for record in pages["other"]] == [moved]
    assert pages["q"] == []
    assert store.do(inspection.latency(store.keys, "q")) == 0


def test_an_id_in_a_foreign_list_that_nobody_counted_runs(store: Store):
    """Somebody moved it by hand, and took it out of its own list: it is not lost."""
    (added,) = store.add()
    store.client.lrem(store.keys.pending("q"), 0, added)
    store.client.rpush(store.keys.pending("other"), added)

    assert ids(store.worker("other").claim()) == [added]


def test_a_moved_job_wakes_a_worker_of_its_new_queue(store: Store):
    (moved,) = store.add()

    move(store, moved)

    assert store.tokens("other") == 1


# -- running now ---------------------------------------------------------------------


@pytest.mark.parametrize("priority", [0, 7, -7])
def test_a_scheduled_job_is_ready_at_once(store: Store, look: Look, priority: int):
    (added,) = store.add(delay_ms=3_600_000, priority=priority)
    store.client.delete(store.keys.wake("q"))

    assert promote(store, added) == ["pending"]

    look()
    assert store.status(added) is JobStatus.PENDING
    assert store.tokens() == 1
    assert ids(store.worker().claim()) == [added]


def test_a_retry_that_waits_runs_now_with_what_it_has_used(store: Store, look: Look):
    (added,) = store.add()
    worker = store.worker()
    worker.settle(*worker.claim(), kind="retry", delay_ms=60_000)

    assert promote(store, added) == ["pending"]

    look()
    (claimed,) = worker.claim()
    assert (claimed.run, claimed.attempts) == (2, 1)


def test_what_is_not_scheduled_is_left_alone(store: Store, look: Look):
    pending, running, done = store.add(number=3)
    worker = store.worker()
    first, second, third = worker.claim(3)
    worker.settle(first, kind="released")
    worker.settle(third)
    assert (first.id, second.id, third.id) == (pending, running, done)

    words = promote(store, pending, running, done, "unknown")

    assert words == ["unchanged", "unchanged", "unchanged", "missing"]
    look()
