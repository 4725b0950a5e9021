"""What somebody else wrote into our keys harms no other job, and stays visible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_redisjobs.core import failures, inspection, lookup, staff
from django_redisjobs.core.exceptions import LeaseLost
from django_redisjobs.core.records import JobStatus

from .places import Places
from .store import Store, Worker, attempt, ids, job, settlement

Look = Callable[[], Places]

JUNK = [b"", b"\xff\xfe\x00", b"a b c", b"a b", b"\n\n\n", b'{"a":[1]}', b"nan", b"inf"]
JUNK += [b"-1", b"9" * 500, b"x" * 100_000]


def populate(store: Store) -> tuple[Worker, dict[str, str]]:
    """One job in each status, and everything else that a group can have."""
    found = {}
    worker = store.worker(name="old")
    (found["expired"],) = store.add(ttl_ms=0)
    for kind in ("succeeded", "failed", "cancelled", "parked", "retry"):
        (found[kind],) = store.add()
        (claimed,) = worker.claim()
        more = {"delay_ms": 60_000} if kind == "retry" else {}
        worker.settle(claimed, kind=kind, result_ttl_ms=60_000, **more)
    (alone,) = store.add()
    for _ in range(2):
        store.rescue("crashing", None)
        crashing = store.worker(name="crashing")
        crashing.claim()
        store.rescue("crashing", None)
    found["alone"] = alone
    (found["running"],) = store.add()
    (claimed,) = worker.claim()
    worker.settle(claimed, kind="note", meta="{}", progress="[1]")
    (found["pending"],) = store.add()
    (found["priority"],) = store.add(priority=5)
    (found["scheduled"],) = store.add(delay_ms=60_000)
    (tombstone,) = store.add()
    store.cancel(tombstone)
    store.do(lookup.await_end(store.keys, found["pending"], 0))
    store.client.zadd(store.keys.base + "waiters", {found["pending"]: 10**14})
    store.pause("paused")
    return worker, found


def exercise(store: Store, worker: Worker, known: dict[str, str]) -> None:
    """Call everything there is. New jobs are done well, whatever is in the way."""
    new = [job(), job(priority=3), job(priority=-3), job(delay_ms=60_000)]
    new += [job(body='["f",[],{},{"on_success":["g",null]}]', callbacks=3)]
    assert store.enqueue(*new) == ["new"] * len(new)
    store.make_due(new[3].id)
    store.maintain_now()
    store.beat(worker, "unheard-of")
    store.do(lookup.await_end(store.keys, new[0].id, 0))
    done: set[str] = set()
    pending: list[Any] = []
    fresh = store.worker("q", "empty")
    for _ in range(40):
        try:
            exchange = fresh.exchange([settlement(one) for one in pending], want=20)
        except LeaseLost:
            fresh, pending = store.worker("q", "empty"), []
            continue
        done |= {one.id for one in pending}
        pending = exchange.jobs
        if not pending and not exchange.more:
            break
    assert {one.id for one in new} <= done
    assert {store.status(one.id) for one in new} == {JobStatus.SUCCEEDED}
    look_at_everything(store, known)
    store.cancel(*known.values())
    store.retry(*known.values())
    store.unpark(*known.values())
    store.delete(*known.values())
    store.pause("q")
    store.resume("q")
    store.rescue(worker, None)
    store.rescue(fresh, charged=False)
    store.purge("q")
    look_at_everything(store, known)


def look_at_everything(store: Store, known: dict[str, str]) -> None:
    """No page that people look at fails either."""
    keys = store.keys
    store.do(inspection.counts(keys, ["q", "paused", "empty"]))
    for status in JobStatus:
        for offset in (0, 1):
            store.do(inspection.page(keys, "q", status, offset, 50))
    for job_id in known.values():
        store.do(lookup.job(keys, job_id))
        store.status(job_id)
    store.do(staff.workers(keys))
    store.do(staff.running(keys))
    store.do(inspection.queues(keys))
    store.do(inspection.latency(keys, "q"))
    store.statistics(2)
    store.do(inspection.spreads(keys, "hour", [store.now_ms() // 3_600_000], ["q"]))
    store.do(failures.newest_failures([(keys, "q")], 0, 50))


SINGLE = ["workers", "queues", "paused", "tombstones", "aside", "sequence", "lost"]
SINGLE += ["maintained", "waiters", "schema", "beside"]
OF_A_QUEUE = ["pending", "priority", "alone", "scheduled", "parked", "wake"]
OF_A_QUEUE += ["succeeded", "failed", "cancelled", "expired"]


def name_of(store: Store, kind: str, known: dict[str, str]) -> str:
    keys = store.keys
    if kind in SINGLE:
        return f"{keys.base}{kind}"
    if kind in OF_A_QUEUE:
        return f"{keys.base}{kind}:q"
    if kind in {"worker", "claimed", "control"}:
        return f"{keys.base}{kind}:old"
    if kind.startswith(("stats", "spread")):
        of, bucket = kind.split()
        number = store.now_ms() // (60_000 if bucket == "minute" else 3_600_000)
        if of == "stats":
            return keys.statistics(bucket, number)
        return keys.spread(bucket, number, "q")
    part, _, status = kind.partition(" ")
    return f"{keys.base}{part}:{known[status]}"


OF_A_JOB = [
    f"{part} {status}"
    for part in ("job", "state", "attempts", "result", "done")
    for status in (
        *("pending", "priority", "scheduled", "retry", "running", "alone"),
        *("parked", "succeeded", "failed"),
    )
]
ALL_KEYS = [*SINGLE, *OF_A_QUEUE, "worker", "claimed", "control"]
ALL_KEYS += ["stats minute", "stats hour", "spread minute", "spread hour", *OF_A_JOB]


@pytest.mark.parametrize("kind", ALL_KEYS)
def test_a_key_of_another_type(store: Store, kind: str):
    worker, known = populate(store)
    name = name_of(store, kind, known)
    before = store.client.type(name)
    store.client.delete(name)
    if before == b"string":
        store.client.rpush(name, "junk")
    else:
        store.client.set(name, "junk")

    exercise(store, worker, known)


@pytest.mark.parametrize("kind", ["pending", "state running", "job priority"])
def test_a_key_of_another_type_is_renamed_and_shown(store: Store, kind: str):
    worker, known = populate(store)
    name = name_of(store, kind, known)
    store.client.delete(name)
    store.client.zadd(name, {"junk": 1})

    exercise(store, worker, known)

    place = name.removeprefix(store.keys.base)
    renamed = [raw for reason, raw in store.aside() if reason == f"{place} wrong-type"]
    assert len(renamed) == 1
    assert store.client.zrange(renamed[0], 0, -1) == [b"junk"]


@pytest.mark.parametrize(
    "kind",
    [
        *(*OF_A_QUEUE, "workers", "queues", "claimed", "control", "aside", "waiters"),
        *("beside", "attempts failed", "done pending"),
    ],
)
def test_junk_in_a_list_or_set(store: Store, kind: str):
    worker, known = populate(store)
    name = name_of(store, kind, known)
    client = store.client
    if kind in {"pending", "alone", "wake", "claimed", "control", "aside"} or (
        kind.startswith(("attempts", "done"))
    ):
        client.rpush(name, *JUNK)
        client.lpush(name, *JUNK)
    elif kind in {"queues", "beside"}:
        client.sadd(name, *JUNK)
    else:
        client.zadd(name, {junk: score for score, junk in enumerate(JUNK)})
        client.zadd(name, {b"z" + junk: float("inf") for junk in JUNK})
        client.zadd(name, {b"y" + junk: float("-inf") for junk in JUNK})

    exercise(store, worker, known)


@pytest.mark.parametrize("place", ["pending", "alone", "priority", "scheduled"])
def test_junk_among_jobs_is_set_aside_whole(store: Store, look: Look, place: str):
    name = f"{store.keys.base}{place}:q"
    junk = [one for one in JUNK if one not in {b"nan", b"inf", b"-1"}]
    if place in {"pending", "alone"}:
        store.client.rpush(name, *junk)
    else:
        store.client.zadd(name, dict.fromkeys(junk, 5))
    added = store.add(number=3)

    got: list[str] = []
    for _ in range(30):
        worker = store.worker()
        got += ids(worker.claim(fresh=True))

    assert got == added
    raw = [entry for _, entry in store.aside()]
    assert sorted(raw) == sorted(junk)
    look()


def test_junk_in_a_workers_list_is_set_aside(store: Store, look: Look):
    added = store.add(number=2)
    worker = store.worker()
    (one,) = worker.claim()
    junk = [b"", b"one", b"a b c", b"0123 w1:9:9", b"\xff \xfe", one.entry.encode()]
    store.client.rpush(store.keys.claimed(worker.name), *junk)

    exchange = worker.exchange([], want=1)

    assert ids(exchange.jobs) == added[1:]
    assert worker.held == 2
    assert {entry for _, entry in store.aside()} >= set(junk[:5])
    look()
    store.client.rpush(store.keys.claimed(worker.name), *junk[:5])
    store.rescue(worker)
    assert look().of(JobStatus.PENDING) == set(added)
    assert len(store.aside()) == 10


BAD_RECORDS = [
    b"",
    b"\n",
    b"junk",
    b"1 q 0 0 0 0 0",
    b"2 q 0 1 0 0 0\n[]",
    b"1 q x 1 0 0 0\n[]",
    b"1 q 0\n[]",
    b"1 q 0 1 0 0 0 0\n[]",
    b"\xff\xfe 0 1 0 0 0\n[]",
    b"1 q 0 " + b"9" * 5000 + b" 0 0 0\n[]",
    b"1 q 0 " + b"9" * 5000 + b"x\n[]",
    b"1 q 0 " + b"9" * 5000,
    b"1 q " + b"9" * 5000 + b" 1 0 0 0\n[]",
    b"1 q 0 1 0 0 0\n[]\npending 1 1 1 w 1 1 0\n{}",
    b"1 q 0 1 0 0 0\n[]\n\n",
]


@pytest.mark.parametrize("raw", BAD_RECORDS)
@pytest.mark.parametrize("status", ["pending", "priority", "scheduled", "running"])
def test_a_record_that_is_none(store: Store, status: str, raw: bytes):
    worker, known = populate(store)
    store.client.set(store.keys.job(known[status]), raw)
    store.make_due(known["scheduled"])
    other = store.worker()

    jobs = other.claim(20)
    store.rescue(worker, None)
    jobs += other.claim(20)

    waiting = {known["pending"], known["priority"], known["scheduled"]}
    assert waiting - {known[status]} <= set(ids(jobs))
    assert known[status] not in ids(jobs)
    shown = [entry for place, entry in store.aside() if known[status] in place]
    assert shown == [raw]
    assert store.status(known[status]) is None


@pytest.mark.parametrize("raw", BAD_RECORDS)
def test_a_record_that_is_none_in_everything_people_do(store: Store, raw: bytes):
    worker, known = populate(store)
    for job_id in known.values():
        store.client.set(store.keys.job(job_id), raw)
    look_at_everything(store, known)
    exercise(store, worker, known)


def test_a_settled_job_whose_record_became_none(store: Store):
    added = store.add(number=3)
    worker = store.worker()
    jobs = worker.claim(3)
    store.client.set(store.keys.job(added[0]), b"junk")
    store.client.delete(store.keys.job(added[1]))

    exchange = worker.settle(*jobs)

    assert exchange.refused == ()
    assert worker.held == 0
    assert [store.status(one) for one in added] == [None, None, "succeeded"]
    assert store.aside() == [(f"job:{added[0]} not-an-envelope", b"junk")]


@pytest.mark.parametrize("expires", [b"9" * 17, b"9" * 350])
def test_an_expiry_that_never_comes(store: Store, look: Look, expires: bytes):
    (added,) = store.add()
    store.client.set(store.keys.job(added), b"1 q 0 1 0 " + expires + b" 0\n[]")
    worker = store.worker()

    jobs = worker.claim()

    assert ids(jobs) == [added]
    worker.settle(*jobs)
    look()


def test_times_beyond_all_bounds(store: Store):
    worker, known = populate(store)
    absurd = b" ".join([b"9" * 100] * 3)
    for job_id in known.values():
        key = store.keys.job(job_id)
        _, _, rest = store.client.get(key).partition(b"\n")  # type: ignore[union-attr]
        store.client.set(key, b"1 q 0 " + absurd + b" 0\n" + rest)

    look_at_everything(store, known)
    exercise(store, worker, known)


def test_a_body_that_is_no_text(store: Store, look: Look):
    (added,) = store.add()
    header, _, _ = store.client.get(store.keys.job(added)).partition(b"\n")  # type: ignore[union-attr]
    store.client.set(store.keys.job(added), header + b"\n\xff\x00\xfe")
    worker = store.worker()

    (claimed,) = worker.claim()

    assert claimed.body.encode("utf-8", "surrogateescape") == b"\xff\x00\xfe"
    worker.settle(claimed, kind="failed", error="cannot be decoded")
    assert store.record(added).status is JobStatus.FAILED


FIELDS = ["status", "token", "run", "attempts", "crashes", "claimed_ms", "alone"]
FIELDS += ["cancel", "meta", "progress", "error"]


@pytest.mark.parametrize("junk", [b"", b"\xff", b"x y", b"nan", b"-1", b"9" * 400])
@pytest.mark.parametrize("field", FIELDS)
def test_junk_in_a_state(store: Store, field: str, junk: bytes):
    worker, known = populate(store)
    for status in ("running", "retry", "alone", "parked", "pending"):
        store.client.hset(store.keys.state(known[status]), field, junk)
    look_at_everything(store, known)
    store.make_due(known["retry"])

    exercise(store, worker, known)


# A server within the process writes no JSON of what is no text.
NO_TEXT = pytest.param(b"\xff", marks=pytest.mark.server)


@pytest.mark.parametrize("junk", [b"", NO_TEXT, b"x y", b"nan", b"inf", b"9" * 400])
@pytest.mark.parametrize("kind", ["worker", "paused", "tombstones", "stats minute"])
def test_junk_in_a_hash(store: Store, kind: str, junk: bytes):
    worker, known = populate(store)
    name = name_of(store, kind, known)
    fields = [*store.client.hkeys(name), b"q:q:succeeded", b"call", b"\xff"]
    if kind == "tombstones":
        fields.append(b"q")
    store.client.hset(name, mapping=dict.fromkeys(fields, junk))
    if kind == "paused":
        store.client.hset(name, "q", junk)
        assert store.worker().claim(5) == []
        look_at_everything(store, known)
        store.resume("q")

    exercise(store, worker, known)


@pytest.mark.parametrize("junk", [b"", b"x", b"9" * 400, b"9223372036854775807"])
@pytest.mark.parametrize("kind", ["sequence", "maintained", "schema"])
def test_junk_in_a_number(store: Store, kind: str, junk: bytes):
    worker, known = populate(store)
    store.client.set(name_of(store, kind, known), junk)

    exercise(store, worker, known)


@pytest.mark.parametrize(
    "body",
    [
        *(b"5", b"null", b'"on_success"', b"[]", b"[1,2,3,4]", b"[1,2,3,[]]", b"{"),
        *(b'["f",[],{},{"on_failure":5}]', b'["f",[],{},{"on_failure":[null,null]}]'),
        *(b'["f",[],{},{"on_failure":[{},[]]}]', b'["f",[],{},{"on_failure":[]}]'),
        b'["f",[],{},{"on_failure":["g","two words"]}]',
        b"[" * 2000 + b"]" * 2000,
    ],
)
def test_a_callback_that_cannot_be_read(store: Store, look: Look, body: bytes):
    (added,) = store.add(callbacks=3)
    header, _, _ = store.client.get(store.keys.job(added)).partition(b"\n")  # type: ignore[union-attr]
    store.client.set(store.keys.job(added), header + b"\n" + body)
    worker = store.worker()
    (claimed,) = worker.claim()

    worker.settle(claimed, kind="failed")

    assert look().status == {added: JobStatus.FAILED}
    assert store.aside() == [(f"job:{added} callback-unreadable", body)]


def test_a_state_that_was_lost_does_not_lose_the_job(store: Store, look: Look):
    added = store.add(number=6)
    worker = store.worker()
    jobs = worker.claim(4)
    client, keys = store.client, store.keys
    client.delete(keys.state(added[0]))
    client.delete(keys.state(added[1]))
    client.set(keys.state(added[2]), "junk")
    client.set(keys.state(added[4]), "junk")
    client.rpush(keys.claimed(worker.name), "junk")

    # What the worker holds it goes on holding; what it ends, it ends.
    exchange = worker.exchange([settlement(jobs[0])], want=0)
    assert not exchange.dropped
    look_at_everything(store, dict(zip("abcdef", added, strict=True)))
    store.rescue(worker, [jobs[1]])

    again = store.worker().claim(10)
    assert sorted(ids(again)) == sorted(added[1:])
    look_at_everything(store, {})


def test_the_leases_were_lost(store: Store, look: Look):
    added = store.add(number=2)
    worker, other = store.worker(), store.worker()
    (one,) = worker.claim()
    (two,) = other.claim()
    store.client.delete(store.keys.workers)

    assert store.beat(worker).lost == ()
    assert other.exchange([settlement(two)], want=0).refused == ()
    assert worker.exchange([settlement(one)], want=0).refused == ()

    assert look().of(JobStatus.SUCCEEDED) == set(added)


def test_an_id_that_stands_twice_runs_once(store: Store):
    (added,) = store.add()
    store.client.rpush(store.keys.pending("q"), added, added)
    store.client.zadd(store.keys.priority("q"), {added: 5})
    store.client.zadd(store.keys.scheduled("q"), {added: 5})
    worker = store.worker()

    jobs = worker.claim(10) + worker.claim(10)

    assert ids(jobs) == [added]
    worker.settle(*jobs)
    assert worker.claim(10) == []
    assert store.status(added) is JobStatus.SUCCEEDED


def test_the_attempts_that_can_be_read_are_shown(store: Store):
    (added,) = store.add()
    worker = store.worker()
    (one,) = worker.claim()
    name = store.keys.attempts(added)
    store.client.rpush(name, b"\xff", b"{}", b"[]", attempt(one), b'{"number":"x"}')

    assert [found.number for found in store.record(added).attempts] == [1]


def test_what_is_kept_aside_is_bounded(store: Store):
    name = store.keys.pending("q")
    worker = store.worker()
    for _ in range(12):
        store.client.rpush(name, *(f"bad {number}" for number in range(1000)))
        worker.claim(1)

    assert store.client.llen(store.keys.aside) == 10_000
