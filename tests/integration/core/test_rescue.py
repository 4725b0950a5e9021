"""What a dead worker held comes back; a job that kills its workers is stopped."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from django_redisjobs.core.consumer import settle_for
from django_redisjobs.core.presence import send_message
from django_redisjobs.core.records import DEFAULT_KEEP, JobStatus
from django_redisjobs.core.settlements import Claimed

from .places import Places
from .store import Store, ids, settlement

Look = Callable[[], Places]


def crash_alone(store: Store, job_id: str) -> Claimed:
    """Claim a job in a fresh worker and let that die."""
    worker = store.worker()
    (job,) = worker.claim(fresh=True)
    assert job.id == job_id
    store.rescue(worker, [job])
    return job


def test_what_ran_is_charged_and_what_waited_is_not(store: Store, look: Look):
    added = store.add(number=4)
    worker = store.worker()
    jobs = worker.claim(4)

    rescued = store.rescue(worker, [jobs[1]])

    assert rescued.ended == ()
    assert sorted(rescued.returned) == sorted(added)
    look()
    again = store.worker().claim(5)
    assert ids(again) == added
    assert [job.crashes for job in again] == [0, 1, 0, 0]
    # Any of them may have run and ended a moment before: its number stays used.
    assert [job.run for job in again] == [2, 2, 2, 2]
    assert [job.attempts for job in again] == [0] * 4


def test_where_it_is_unknown_what_ran_all_are_suspected(store: Store, look: Look):
    added = store.add(number=3)
    worker = store.worker()
    worker.claim(3)

    store.rescue(worker, None)

    look()
    again = store.worker().claim(3)
    assert ids(again) == added
    assert [job.crashes for job in again] == [1, 1, 1]


def test_nobody_is_charged_for_an_end_in_good_order(store: Store, look: Look):
    added = store.add(number=3)
    worker = store.worker()
    jobs = worker.claim(3)

    store.rescue(worker, jobs[:1], charged=False)

    look()
    again = store.worker().claim(3)
    assert ids(again) == added
    assert [job.crashes for job in again] == [0, 0, 0]
    assert store.record(added[0]).attempts == ()


def test_a_crash_is_an_attempt_of_its_own_kind(store: Store):
    (added,) = store.add()
    worker = store.worker(name="dead")
    (job,) = worker.claim()

    store.rescue(worker, [job], reason='killed by signal 11 (SIGSEGV)\n"')

    record = store.record(added)
    (crashed,) = record.attempts
    assert crashed.outcome == "crashed"
    assert crashed.message == 'crashed: killed by signal 11 (SIGSEGV)\n"'
    assert (crashed.number, crashed.run, crashed.worker) == (1, 1, "dead")
    assert crashed.started_ms == job.claimed_ms <= crashed.finished_ms
    assert (record.attempts_made, record.crashes) == (0, 1)


def test_three_crashes_are_three_starts(store: Store, look: Look):
    """At once, then at once alone, then it has failed."""
    (added,) = store.add()
    others = store.add(number=2)
    worker = store.worker()
    (first,) = worker.claim()
    store.rescue(worker, [first])
    assert not store.record(added).error
    assert look().place[added] == "pending:q"
    worker = store.worker()
    (second,) = worker.claim()
    store.rescue(worker, [second])
    assert look().place[added] == "alone:q"
    fresh = store.worker()
    (third,) = fresh.claim(5, fresh=True)
    assert third.id == added
    assert (third.alone, third.run, third.crashes) == (True, 3, 2)

    rescued = store.rescue(fresh, [third], reason="killed by signal 9")

    assert rescued.ended == (added,)
    record = store.record(added)
    assert record.status is JobStatus.FAILED
    assert record.error == "crashed 3 times: killed by signal 9"
    assert [one.outcome for one in record.attempts] == ["crashed"] * 3
    assert [one.number for one in record.attempts] == [1, 2, 3]
    assert (record.crashes, record.attempts_made, record.run) == (3, 0, 3)
    assert look().of(JobStatus.PENDING) == set(others)


def test_neighbours_of_a_job_that_kills_survive_it(store: Store, look: Look):
    """In a process of many threads each crash is charged to all that ran."""
    added = store.add(number=3)
    killer = added[1]
    fresh = True
    for _ in range(20):
        worker = store.worker()
        jobs = worker.claim(3, fresh=fresh)
        if not jobs:
            break
        if killer in ids(jobs):
            store.rescue(worker, jobs)
        else:
            worker.settle(*jobs)
            store.rescue(worker, charged=False)

    found = look()
    assert found.of(JobStatus.FAILED) == {killer}
    assert found.of(JobStatus.SUCCEEDED) == set(added) - {killer}
    assert store.record(killer).crashes == 3


def test_a_job_that_must_run_alone_is_only_for_a_fresh_and_idle_worker(
    store: Store, look: Look
):
    (added,) = store.add()
    for _ in range(2):
        crash_alone(store, added)
    plain = store.add(number=3)
    worker = store.worker()

    exchange = worker.exchange([], want=1)
    assert ids(exchange.jobs) == plain[:1]
    assert exchange.alone_waiting
    # Fresh, but it holds something.
    exchange = worker.exchange([], want=1, fresh=True)
    assert ids(exchange.jobs) == plain[1:2]
    assert exchange.alone_waiting
    exchange = store.worker().exchange([], want=5, fresh=True)
    assert ids(exchange.jobs) == [added]
    assert exchange.jobs[0].alone
    assert not exchange.alone_waiting
    look()


def test_who_may_not_run_it_leaves_the_token_to_somebody_who_may(store: Store):
    (added,) = store.add()
    for _ in range(2):
        crash_alone(store, added)

    exchange = store.worker().exchange([], want=1)

    assert (exchange.jobs, exchange.alone_waiting) == ([], True)
    assert store.tokens() > 0


def test_what_is_gone_keeps_nobody_from_what_has_to_run_alone(store: Store):
    first, second = store.add(number=2)
    for _ in range(2):
        worker = store.worker()
        store.rescue(worker, worker.claim(2))
    store.client.delete(store.keys.job(first), store.keys.state(first))
    store.cancel(*store.add())

    exchange = store.worker().exchange([], want=1, fresh=True)

    assert ids(exchange.jobs) == [second]
    assert exchange.jobs[0].alone
    # That of the cancelled one, which is still in its list.
    assert store.client.hget(store.keys.tombstones, "q") == b"1"


def test_a_job_that_ran_alone_well_ends_as_any_other(store: Store, look: Look):
    (added,) = store.add()
    for _ in range(2):
        crash_alone(store, added)
    worker = store.worker()
    (job,) = worker.claim(fresh=True)

    worker.settle(job)

    assert look().status[added] is JobStatus.SUCCEEDED
    assert store.record(added).crashes == 2


def test_released_while_alone_it_stays_alone(store: Store, look: Look):
    (added,) = store.add()
    for _ in range(2):
        crash_alone(store, added)
    worker = store.worker()
    (job,) = worker.claim(fresh=True)

    worker.settle(job, kind="released")

    assert look().place[added] == "alone:q"
    assert worker.exchange([], want=1).alone_waiting


def test_after_a_retry_only_a_crash_alone_fails_it(store: Store, look: Look):
    (added,) = store.add()
    for _ in range(2):
        crash_alone(store, added)
    worker = store.worker()
    (job,) = worker.claim(fresh=True)
    worker.settle(job, kind="retry", delay_ms=0)
    # Not alone any more: with a neighbour the third crash proves nothing.
    (other,) = store.add()
    jobs = worker.claim(2)
    assert sorted(ids(jobs)) == sorted([added, other])

    store.rescue(worker, jobs)

    assert look().place[added] == "alone:q"
    assert look().status[other] is JobStatus.PENDING


def test_alone_jobs_keep_their_order(store: Store, look: Look):
    added = store.add(number=3)
    for _ in range(2):
        worker = store.worker()
        store.rescue(worker, worker.claim(3))
    look()

    order = [
        ids(store.worker(name=f"f{number}").claim(fresh=True)) for number in range(3)
    ]

    assert order == [[one] for one in added]


@pytest.mark.parametrize("known", [True, False])
def test_with_one_permitted_crash_a_proven_one_fails_at_once(
    store: Store, look: Look, known: bool
):
    (added,) = store.add()
    worker = store.worker(max_crashes=1)
    jobs = worker.claim()

    store.rescue(worker, jobs if known else None, max_crashes=1)

    if known:
        assert look().status[added] is JobStatus.FAILED
        assert store.record(added).error == "crashed 1 times: killed by signal 9"
    else:
        assert look().place[added] == "alone:q"


def test_with_one_permitted_crash_a_suspect_gets_one_start_alone(
    store: Store, look: Look
):
    added = store.add(number=2)
    worker = store.worker(max_crashes=1)
    store.rescue(worker, worker.claim(2), max_crashes=1)
    found = look()
    assert [found.place[one] for one in added] == ["alone:q"] * 2
    worker = store.worker(max_crashes=1)
    jobs = worker.claim(2, fresh=True)

    store.rescue(worker, jobs, max_crashes=1)

    assert len(look().of(JobStatus.FAILED)) == 1


def test_cancel_was_asked_and_then_the_worker_died(store: Store, look: Look):
    added = store.add(number=2)
    worker = store.worker()
    jobs = worker.claim(2)
    store.cancel(*added)

    rescued = store.rescue(worker, jobs[:1])

    assert sorted(rescued.ended + rescued.returned) == sorted(added)
    assert look().of(JobStatus.CANCELLED) == set(added)
    assert store.record(added[0]).error == "cancelled"
    counted = [each.get("q:q:cancelled", 0) for each in store.statistics(2)]
    assert sum(counted) == 2


@pytest.mark.parametrize("priority", [0, 5, -5])
def test_many_held_come_back_in_order(store: Store, look: Look, priority: int):
    added = store.add(number=1203, priority=priority)
    worker = store.worker()
    held = []
    while jobs := worker.claim(400):
        held += jobs
    store.add(priority=priority)

    rescued = store.rescue(worker, held[:1])

    assert len(rescued.returned) == 1203
    look()
    other = store.worker()
    again = []
    while jobs := other.claim(500):
        again += ids(jobs)
    assert again[:-1] == added


def test_the_maintenance_brings_back_many_in_parts(store: Store, look: Look):
    added = store.add(number=1100)
    dead, worker = store.worker(), store.worker()
    while dead.claim(400):
        pass
    store.end_lease(dead)

    again: list[str] = []
    while len(again) < 1100:
        exchange = worker.exchange([], want=200)
        assert exchange.jobs
        again += ids(exchange.jobs)

    assert sorted(again) == sorted(added)
    look()


def test_any_number_of_rescuers_do_it_once(store: Store, look: Look):
    added = store.add(number=30)
    worker = store.worker()
    jobs = worker.claim(30)

    with ThreadPoolExecutor(10) as pool:
        rescued = list(pool.map(lambda _: store.rescue(worker, jobs[:1]), range(10)))

    assert sum(len(one.returned) for one in rescued) == 30
    look()
    again = store.worker().claim(30)
    assert ids(again) == added
    assert [job.crashes for job in again] == [1] + [0] * 29


def test_a_rescue_of_nobody_changes_nothing(store: Store, look: Look):
    store.add()
    worker = store.worker()
    worker.claim()
    before = look()

    rescued = store.rescue("nobody", None)

    assert (rescued.returned, rescued.ended) == ((), ())
    assert look() == before


def test_an_entry_of_an_older_claim_proves_nothing(store: Store, look: Look):
    (added,) = store.add()
    old, new = store.worker(), store.worker()
    (first,) = old.claim()
    old.settle(first, kind="released")
    (second,) = new.claim()
    # As if the first one's entry had stayed.
    store.client.rpush(store.keys.claimed(old.name), first.entry)

    rescued = store.rescue(old, None)

    assert rescued.returned == ()
    assert look().claims == {added: (new.name, second.token)}


def test_settled_in_its_name_before_the_rescue_a_job_is_not_charged(
    store: Store, look: Look
):
    """The hard timeout: only what overran is settled, the others go back free."""
    added = store.add(number=3)
    worker = store.worker()
    jobs = worker.claim(3)
    overran = settlement(jobs[0], "retry", delay_ms=60_000)

    conversation = settle_for(
        store.keys, worker.name, [overran], keep=DEFAULT_KEEP, max_crashes=3
    )
    assert store.do(conversation) == ()
    store.rescue(worker, jobs, charged=False)

    found = look()
    assert [found.status[one] for one in added] == ["scheduled", "pending", "pending"]
    record = store.record(added[0])
    assert (record.attempts_made, record.crashes) == (1, 0)


@pytest.mark.parametrize("ran", [0, 3])
def test_a_rescue_wakes_somebody(store: Store, ran: int):
    store.add(number=3)
    worker = store.worker()
    jobs = worker.claim(3)
    store.client.delete(store.keys.wake("q"))

    store.rescue(worker, jobs[:ran])

    assert store.tokens() == 3


def test_who_rescues_gets_what_the_worker_has_not_read(store: Store, look: Look):
    store.add(number=600)
    worker = store.worker()
    worker.claim(600)
    for message in ("dump", "stop"):
        assert store.do(send_message(store.keys, worker.name, message))

    assert store.rescue(worker).unread == ("dump", "stop")

    assert store.rescue(worker).unread == ()
    look()


def test_nobody_leaves_a_message_for_who_is_forgotten(store: Store):
    worker = store.worker()
    store.rescue(worker)

    assert not store.do(send_message(store.keys, worker.name, "stop"))

    assert not store.client.exists(store.keys.control(worker.name))


def test_an_attempt_list_is_bounded(store: Store):
    (added,) = store.add()
    worker = store.worker(max_crashes=1000)
    for _ in range(60):
        (job,) = worker.claim()
        worker.settle(job, kind="retry", delay_ms=0)

    record = store.record(added)

    assert len(record.attempts) == 50
    assert record.attempts_made == 60
    assert record.attempts[-1].number == 60


SUPERVISOR = {"boot_id": "b", "pid_ns": "n", "supervisor_start_time": "7"}


def lose(store: Store, supervisor: str, number: int) -> list[str]:
    """Processes of one supervisor claim a job each and are lost; what ended then."""
    info = {**SUPERVISOR, "supervisor": supervisor}
    workers = [store.worker(**info) for _ in range(number)]
    assert all(len(worker.claim(fresh=True)) == 1 for worker in workers)
    rescued = [store.rescue(worker, None) for worker in workers]
    return [job_id for one in rescued for job_id in one.ended]


def test_who_was_lost_in_company_is_granted_more_starts(store: Store, look: Look):
    added = store.add(number=2)

    ended = [lose(store, str(time), 2) for time in range(9)]

    assert ended[:8] == [[]] * 8
    assert sorted(ended[8]) == sorted(added)
    assert {store.record(job_id).crashes for job_id in added} == {9}
    look()


@pytest.mark.parametrize(("processes", "starts"), [("1", 3), ("4", 9)])
def test_company_in_other_groups_is_not_seen_and_so_assumed(
    store: Store, look: Look, processes: str, starts: int
):
    (added,) = store.add()

    ended = []
    while not ended:
        worker = store.worker(groups="2", processes=processes)
        assert ids(worker.claim(fresh=True)) == [added]
        ended = store.rescue(worker, None).ended

    assert store.record(added).crashes == starts
    look()


def test_who_was_lost_alone_is_not(store: Store, look: Look):
    (added,) = store.add()
    # Neither who holds nothing nor whose supervisor is another one is company.
    store.worker(**SUPERVISOR, supervisor="2")
    store.add("elsewhere")
    store.worker("elsewhere", **SUPERVISOR, supervisor="other").claim()

    ended = [lose(store, str(time), 1) for time in range(3)]

    assert ended == [[], [], [added]]
    look()
