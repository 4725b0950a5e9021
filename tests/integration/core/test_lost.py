"""Workers that are lost, and what workers tell of themselves, for people."""

from __future__ import annotations

import json

import pytest

from django_redisjobs.core import staff
from django_redisjobs.core.presence import beat, keep_stacks
from django_redisjobs.core.records import DEFAULT_KEEP, Stacks

from .store import LEASE_MS, Store


def lost(store: Store) -> list[tuple[str, str, int]]:
    found = store.do(staff.lost_workers(store.keys))
    return [(one.worker, one.reason, one.held) for one in found]


def test_who_is_rescued_after_a_crash_is_among_the_lost(store: Store):
    store.add(number=2)
    worker = store.worker(name="w-1")
    jobs = worker.claim(2)

    store.rescue(worker, jobs[:1], reason="killed by signal 9")
    store.rescue(worker, jobs[:1], reason="somebody else tried, too")

    assert lost(store) == [("w-1", "killed by signal 9", 2)]
    (one,) = store.do(staff.lost_workers(store.keys))
    assert (one.host, one.pid) == ("here", "1")
    assert store.now_ms() - 60_000 < one.at_ms <= store.now_ms()


def test_who_falls_silent_is_among_the_lost(store: Store):
    silent, alive = store.worker(name="silent"), store.worker(name="alive")
    store.end_lease(silent)
    store.maintain_now()

    store.beat(alive)

    ((worker, reason, _),) = lost(store)
    assert worker == "silent"
    assert "its lease ended" in reason


def test_who_ends_in_good_order_is_not(store: Store):
    store.rescue(store.worker(), charged=False)

    assert lost(store) == []


def test_the_list_of_the_lost_is_bounded(store: Store):
    for number in range(103):
        store.rescue(store.worker(name=f"w-{number}"), reason=f"{number}")

    found = lost(store)
    assert len(found) == 100
    assert found[0][0] == "w-102"
    assert 0 < store.client.pttl(store.keys.lost) <= 7 * 86_400_000


def test_what_is_no_lost_worker_is_left_out(store: Store):
    store.client.rpush(store.keys.lost, b"\xff", "{}", "[]", '{"worker": 1}')

    assert lost(store) == []


def test_a_beat_tells_what_memory_a_worker_holds(store: Store):
    one, two = store.worker(name="one"), store.worker(name="two")
    store.do(
        beat(
            store.keys,
            [one.name, two.name, "unheard-of"],
            queues=["q"],
            lease_ms=LEASE_MS,
            max_crashes=3,
            keep=DEFAULT_KEEP,
            memory={"one": 123_456_789, "unheard-of": 1},
        )
    )

    found = {each.id: each.info for each in store.do(staff.workers(store.keys))}
    assert found["one"]["memory"] == "123456789"
    assert "memory" not in found["two"]
    assert not store.client.exists(store.keys.worker("unheard-of"))


@pytest.mark.parametrize("rubbish", ["[", "1", json.dumps({"text": "x"})])
def test_stacks_are_kept_for_ten_minutes(store: Store, rubbish: str):
    assert store.do(staff.stacks(store.keys, "w")) is None

    store.do(keep_stacks(store.keys, "w", "Thread é"))

    found = store.do(staff.stacks(store.keys, "w"))
    assert isinstance(found, Stacks)
    assert found.text == "Thread é"
    assert 0 < store.client.pttl(store.keys.stacks("w")) <= 600_000
    store.client.set(store.keys.stacks("w"), rubbish)
    assert store.do(staff.stacks(store.keys, "w")) is None
