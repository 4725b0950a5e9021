"""Every operation on a job in every status does what the table says, no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from django_redisjobs.core.consumer import hand_back, settle_for, take
from django_redisjobs.core.exceptions import LeaseLost
from django_redisjobs.core.records import (
    DEFAULT_KEEP,
    ENDED,
    TRANSITIONS,
    JobStatus,
)
from django_redisjobs.core.scripts import perform
from django_redisjobs.core.settlements import Claimed

from .places import Places
from .store import Store, Worker, job, settlement

S = JobStatus
RUN, WAIT = "running-worker", "idle-worker"


@dataclass
class Scene:
    """One job in one status, and the worker that held it last."""

    store: Store
    id: str
    worker: Worker
    claimed: Claimed | None

    @property
    def last(self) -> Claimed:
        """The job's last claim; a forged one where it was never claimed."""
        return self.claimed or Claimed(
            self.id, f"{RUN}:1:0", "q", 0, "", 0, 0, 1, 0, 0, False, None, 0
        )


def scene(store: Store, variant: str) -> Scene:  # noqa: C901, PLR0912
    worker = store.worker(name=RUN)
    claimed = None
    fields: dict[str, Any] = {}
    if variant == "scheduled":
        fields["delay_ms"] = 60_000
    elif variant in {"prioritized", "running-prioritized"}:
        fields["priority"] = 7
    elif variant == "expired":
        fields["ttl_ms"] = 0
    (job_id,) = store.add(**fields)
    if variant in {"pending", "scheduled", "prioritized"}:
        return Scene(store, job_id, worker, None)
    claims = worker.claim()
    if variant == "expired":
        assert claims == []
        return Scene(store, job_id, worker, None)
    (claimed,) = claims
    match variant:
        case "running" | "running-prioritized":
            pass
        case "retrying":
            worker.settle(claimed, kind="retry", delay_ms=60_000)
        case "released":
            worker.settle(claimed, kind="released")
        case "crashed":
            store.rescue(worker, [claimed])
        case "alone":
            for _ in range(2):
                store.rescue(worker, [claimed])
                worker = store.worker()
                jobs = worker.claim(fresh=True)
                if jobs:
                    (claimed,) = jobs
            store.rescue(worker, None, charged=False)
        case "cancel-requested":
            assert store.cancel(job_id) == ["requested"]
        case _:
            worker.settle(claimed, kind=variant)
    return Scene(store, job_id, worker, claimed)


VARIANTS = {
    "pending": S.PENDING,
    "prioritized": S.PENDING,
    "released": S.PENDING,
    "crashed": S.PENDING,
    "alone": S.PENDING,
    "scheduled": S.SCHEDULED,
    "retrying": S.SCHEDULED,
    "running": S.RUNNING,
    "running-prioritized": S.RUNNING,
    "cancel-requested": S.RUNNING,
    "succeeded": S.SUCCEEDED,
    "failed": S.FAILED,
    "cancelled": S.CANCELLED,
    "expired": S.EXPIRED,
    "parked": S.PARKED,
}


def enqueue_again(scene: Scene) -> JobStatus | None:
    assert scene.store.enqueue(job(id=scene.id)) == ["duplicate"]
    return None


def promote(scene: Scene) -> JobStatus | None:
    # A paused queue is promoted, and nothing of it claimed.
    scene.store.pause()
    if scene.store.status(scene.id) is S.SCHEDULED:
        scene.store.make_due(scene.id)
    assert scene.store.worker().claim(10) == []
    return S.PENDING


def claim(scene: Scene) -> JobStatus | None:
    scene.store.worker().claim(10, fresh=True)
    return S.RUNNING


def take_by_hand(scene: Scene) -> JobStatus | None:
    before, worker = scene.store.status(scene.id), scene.store.worker().name
    expected = {S.RUNNING: "running"} | dict.fromkeys(ENDED, "ended")
    word, _ = scene.store.do(take(scene.store.keys, worker, scene.id, f"{worker}:0:0"))
    assert word == expected.get(before, "taken")
    return S.RUNNING


def settle(kind: str, becomes: JobStatus) -> Callable[[Scene], JobStatus | None]:
    def operate(scene: Scene) -> JobStatus | None:
        runs = scene.store.status(scene.id) is S.RUNNING
        try:
            exchange = scene.worker.settle(scene.last, kind=kind)
        except LeaseLost:
            assert not runs
        else:
            assert exchange.refused == (() if runs else (scene.last.token,))
        asked = scene.store.status(scene.id) is S.CANCELLED
        return S.CANCELLED if asked else becomes

    return operate


def settle_for_it(scene: Scene) -> JobStatus | None:
    perform(
        scene.store.client,
        settle_for(
            scene.store.keys,
            RUN,
            [settlement(scene.last, "failed")],
            keep=DEFAULT_KEEP,
            max_crashes=3,
        ),
    )
    return S.FAILED


def rescue(scene: Scene) -> JobStatus | None:
    asked = scene.store.client.hget(scene.store.keys.state(scene.id), "cancel")
    scene.store.rescue(scene.worker, [scene.last])
    return S.CANCELLED if asked else S.PENDING


def return_unstarted(scene: Scene) -> JobStatus | None:
    asked = scene.store.client.hget(scene.store.keys.state(scene.id), "cancel")
    runs = scene.store.status(scene.id) is S.RUNNING
    returned = perform(
        scene.store.client,
        hand_back(scene.store.keys, scene.worker.name, [scene.last.token]),
    )
    assert returned == int(runs)
    return S.CANCELLED if asked else S.PENDING


def cancel(scene: Scene) -> JobStatus | None:
    before = scene.store.status(scene.id)
    expected = {S.RUNNING: "requested"} | dict.fromkeys(ENDED, "ended")
    assert scene.store.cancel(scene.id) == [expected.get(before, "cancelled")]
    return S.RUNNING if before is S.RUNNING else S.CANCELLED


def retry(scene: Scene) -> JobStatus | None:
    before = scene.store.status(scene.id)
    changes = before in ENDED or before is S.PARKED
    assert scene.store.retry(scene.id) == ["pending" if changes else "live"]
    return S.PENDING


def unpark(scene: Scene) -> JobStatus | None:
    changes = scene.store.status(scene.id) is S.PARKED
    assert scene.store.unpark(scene.id) == ["pending" if changes else "missing"]
    return S.PENDING


def pause_and_resume(scene: Scene) -> JobStatus | None:
    scene.store.pause()
    assert scene.store.resume()
    return None


OPERATIONS: dict[str, tuple[str, Callable[[Scene], JobStatus | None]]] = {
    "enqueue": ("enqueue", enqueue_again),
    "promote": ("promote", promote),
    "claim": ("claim", claim),
    "take": ("take", take_by_hand),
    "settle succeeded": ("settle", settle("succeeded", S.SUCCEEDED)),
    "settle failed": ("settle", settle("failed", S.FAILED)),
    "settle cancelled": ("settle", settle("cancelled", S.CANCELLED)),
    "settle retry": ("settle", settle("retry", S.SCHEDULED)),
    "settle released": ("settle", settle("released", S.PENDING)),
    "settle parked": ("settle", settle("parked", S.PARKED)),
    "settle for it": ("settle", settle_for_it),
    "rescue": ("rescue", rescue),
    "hand back": ("settle", return_unstarted),
    "cancel": ("cancel", cancel),
    "retry": ("retry", retry),
    "unpark": ("unpark", unpark),
    "pause and resume": ("pause", pause_and_resume),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_does_what_the_table_says(
    store: Store, look: Callable[[], Places], variant: str, operation: str
):
    set_up = scene(store, variant)
    before = look()
    assert before.status[set_up.id] is VARIANTS[variant]
    row, operate = OPERATIONS[operation]
    allowed = TRANSITIONS.get(row, {}).get(VARIANTS[variant], frozenset())

    becomes = operate(set_up)

    after = look()
    if allowed:
        assert after.status[set_up.id] is becomes
        assert becomes in allowed
    else:
        assert after == before


@pytest.mark.parametrize("variant", VARIANTS)
def test_delete_removes_all_of_a_job_that_does_not_run(
    store: Store, look: Callable[[], Places], variant: str
):
    set_up = scene(store, variant)
    before = look()

    (reply,) = store.delete(set_up.id)

    after = look()
    if VARIANTS[variant] is S.RUNNING:
        assert reply == "running"
        assert after == before
    else:
        assert reply == "deleted"
        assert store.status(set_up.id) is None
        assert set_up.id not in after.status
        left = [key for key in store.client.scan_iter() if set_up.id in key.decode()]
        assert left == []
        assert store.delete(set_up.id) == ["missing"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_purge_deletes_what_waits(
    store: Store, look: Callable[[], Places], variant: str
):
    set_up = scene(store, variant)
    before = look()

    purged = store.purge()

    after = look()
    if VARIANTS[variant] in {S.PENDING, S.SCHEDULED}:
        assert purged == 1
        assert store.status(set_up.id) is None
    else:
        assert purged == 0
        assert after == before


@pytest.mark.parametrize(
    "operation", ["cancel", "retry", "delete", "unpark", "promote"]
)
def test_an_unknown_id_is_missing(
    store: Store, look: Callable[[], Places], operation: str
):
    assert getattr(store, operation)("0123") == ["missing"]
    assert look().status == {}


@pytest.mark.parametrize("variant", [*sorted(ENDED), "parked"])
def test_what_is_retried_runs_with_the_same_body_and_keeps_its_attempts(
    store: Store, look: Callable[[], Places], variant: str
):
    set_up = scene(store, variant)
    before = store.record(set_up.id)
    store.retry(set_up.id)
    look()

    (claimed,) = store.worker().claim()

    assert claimed.id == set_up.id
    assert claimed.body == before.body != ""
    assert claimed.run == before.run + 1
    assert (claimed.attempts, claimed.crashes) == (0, 0)
    assert store.record(set_up.id).attempts == before.attempts


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_waits_is_moved_to_another_queue_as_it_is(
    store: Store, look: Callable[[], Places], variant: str
):
    set_up = scene(store, variant)
    before, record = look(), store.record(set_up.id)
    status = VARIANTS[variant]

    (reply,) = store.move(set_up.id, queue="other")

    after = look()
    if status in {S.PENDING, S.SCHEDULED, S.PARKED}:
        assert reply == "moved"
        place = before.place[set_up.id].replace(":q", ":other")
        assert after.place == {set_up.id: place}
        assert store.record(set_up.id) == replace(record, queue="other")
        assert store.worker().claim(5, fresh=True) == []
        look()
        assert store.move(set_up.id, queue="other") == ["same"]
        assert store.move(set_up.id, queue="q") == ["moved"]
        assert look().place == before.place
        assert store.record(set_up.id) == record
    else:
        assert reply == ("running" if status is S.RUNNING else "ended")
        assert after == before


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_scheduled_is_made_ready_before_its_time(
    store: Store, look: Callable[[], Places], variant: str
):
    set_up = scene(store, variant)
    before, record = look(), store.record(set_up.id)

    (reply,) = store.promote(set_up.id)

    after = look()
    if VARIANTS[variant] is S.SCHEDULED:
        assert reply == "pending"
        assert after.status[set_up.id] is S.PENDING
        (claimed,) = store.worker().claim(5)
        assert claimed.id == set_up.id
        assert claimed.body == record.body != ""
        assert claimed.attempts == record.attempts_made
        look()
    else:
        assert reply == "unchanged"
        assert after == before


def test_an_id_given_twice_is_done_once(store: Store, look: Callable[[], Places]):
    first, second = store.add(number=2)

    assert store.cancel(first, first) == ["cancelled", "ended"]
    look()
    assert store.retry(first, first) == ["pending", "live"]
    look()
    assert store.delete(second, second) == ["deleted", "missing"]
    look()
