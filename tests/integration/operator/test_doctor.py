"""``doctor`` finds what is broken, mends it, and is right beside workers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import redis
from django.core.management.base import CommandError
from django.test import override_settings

from django_redisjobs.core import operations
from django_redisjobs.core.audit import Report, audit
from django_redisjobs.core.audit.keyspace import KINDS
from django_redisjobs.core.exceptions import LeaseLost
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import DEFAULT_KEEP, JobStatus, NewJob, new_id
from tests.integration.core.places import Places
from tests.integration.core.store import LEASE_MS, Store, Worker, job
from tests.integration.operator.conftest import Operator
from tests.integration.operator.jobs import add

pytestmark = pytest.mark.usefixtures("redisjobs")
Look = Callable[[], Places]


@dataclass
class Site:
    """A store with jobs in every place and status, and who works there."""

    store: Store
    ids: dict[str, str] = field(default_factory=dict)
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        store, worker = self.store, self.store.worker("high")
        self.worker = worker
        for kind in ("succeeded", "failed", "cancelled", "parked"):
            self._end(kind, kind)
        self._end("apart", "succeeded", result_ttl_ms=60_000)
        self._end("retrying", "retry", delay_ms=600_000)
        (self.ids["expired"],) = store.add("high", ttl_ms=0)
        worker.claim()
        (self.ids["alone"],) = store.add("high")
        for _ in range(2):
            doomed = store.worker("high")
            store.rescue(doomed, doomed.claim(fresh=True))
        (self.ids["running"],) = store.add("high")
        worker.claim()
        (self.ids["moved"],) = store.add("high")
        store.do(operations.move_many(store.keys, [self.ids["moved"]], "low"))
        (gone,) = store.add("high")
        store.delete(gone)
        (self.ids["pending"],) = store.add("high")
        store.add("high", 3)
        (self.ids["urgent"],) = store.add("high", priority=5)
        (self.ids["scheduled"],) = store.add("high", delay_ms=600_000)
        store.pause("low", reason="because")

    def _end(self, name: str, kind: str, **more: Any) -> None:
        (self.ids[name],) = self.store.add("high")
        self.worker.settle(*self.worker.claim(), kind=kind, **more)

    @property
    def client(self) -> redis.Redis:
        return self.store.client

    @property
    def keys(self) -> GroupKeys:
        return self.store.keys

    def key(self, name: str) -> str:
        """``state:alone`` -> the key of the state of the job called alone."""
        kind, colon, rest = name.partition(":")
        return f"{self.keys.base}{kind}{colon}{self.ids.get(rest, rest)}"

    def records(self) -> set[bytes]:
        """The names of all records."""
        return set(self.client.scan_iter(f"{self.keys.base}job:*", count=1000))


@pytest.fixture
def site(store: Store) -> Site:
    return Site(store)


def codes(operator: Operator, *words: str) -> list[str]:
    """The codes of what is broken; [] when the command ends well."""
    return [one["code"] for one in examine(operator, *words)["broken"]]


def examine(operator: Operator, *words: str) -> dict[str, Any]:
    status = 0
    try:
        operator("doctor", "--json", *words)
    except CommandError as error:
        status = error.returncode
    found: dict[str, Any] = json.loads(operator.printed)
    assert (status, found["ok"]) == ((1, False) if found["broken"] else (0, True))
    return found


# -- whole stores ------------------------------------------------------------------------


def test_an_empty_store_is_whole(operator: Operator):
    assert "0 jobs" in operator("doctor")


def test_a_store_with_everything_is_whole(operator: Operator, site: Site, look: Look):
    look()
    found = examine(operator)

    assert found["broken"] == []
    assert found["jobs"] == len(site.records())
    assert "everything is in its place" in operator("doctor")


def test_looking_changes_nothing(operator: Operator, site: Site):
    before = dump(site)

    operator("doctor")

    assert dump(site) == before


def dump(site: Site) -> dict[bytes, Any]:
    names = site.client.scan_iter(f"{site.keys.base}*", count=1000)
    return {name: contents(site.client, name) for name in names}


def contents(client: redis.Redis, name: bytes) -> Any:
    # To look into a set may change the order in which the server keeps it.
    if client.type(name) == b"set":
        return client.smembers(name)
    return client.dump(name)


# -- damage ------------------------------------------------------------------------------

Damage = Callable[[Site], Any]


def rpush(name: str, *values: str) -> Damage:
    return lambda site: site.client.rpush(
        site.key(name), *(site.ids.get(value, value) for value in values)
    )


def zadd(name: str, value: str, score: float = 9e12) -> Damage:
    return lambda site: site.client.zadd(
        site.key(name), {site.ids.get(value, value): score}
    )


def zrem(name: str, value: str) -> Damage:
    return lambda site: site.client.zrem(site.key(name), site.ids[value])


def srem(name: str, value: str) -> Damage:
    return lambda site: site.client.srem(site.key(name), site.ids[value])


def lrem(name: str, value: str) -> Damage:
    return lambda site: site.client.lrem(site.key(name), 0, site.ids[value])


def delete(name: str) -> Damage:
    return lambda site: site.client.delete(site.key(name))


def hset(name: str, field: str, value: str) -> Damage:
    return lambda site: site.client.hset(site.key(name), field, value)


def hdel(name: str, *fields: str) -> Damage:
    return lambda site: site.client.hdel(site.key(name), *fields)


def claim_by_a_ghost(site: Site) -> None:
    """Claimed by a worker that nobody knows."""
    site.client.delete(site.keys.worker(site.worker.name))
    site.client.zrem(site.keys.workers, site.worker.name)


def unregister(site: Site) -> None:
    site.client.zrem(site.keys.workers, site.worker.name)


def forget_hash(site: Site) -> None:
    site.client.delete(site.keys.worker(site.worker.name))


def lose_entry(site: Site) -> None:
    site.client.delete(site.keys.claimed(site.worker.name))


def repeat_entry(site: Site) -> None:
    key = site.keys.claimed(site.worker.name)
    site.client.rpush(key, site.client.lindex(key, 0))


def both(first: Damage, second: Damage) -> Damage:
    return lambda site: (first(site), second(site))


def hold(entry: str) -> Damage:
    def damage(site: Site) -> None:
        job_id, _, token = entry.partition(" ")
        text = f"{site.ids.get(job_id, job_id)} {token}".strip()
        site.client.rpush(site.keys.claimed(site.worker.name), text)

    return damage


def lease_for_ever(site: Site) -> None:
    site.client.zadd(site.keys.workers, {site.worker.name: 9e14})


def set_record(name: str, text: str) -> Damage:
    return lambda site: site.client.set(site.key(f"job:{name}"), text)


def expire(name: str) -> Damage:
    return lambda site: site.client.expire(site.key(name), 1000)


def persist(name: str) -> Damage:
    return lambda site: site.client.persist(site.key(name))


def end_long_ago(site: Site) -> None:
    """Ended longer ago than anybody keeps it, and workers have been here since."""
    site.client.zadd(site.key("failed:high"), {site.ids["failed"]: 1e12})


def end_too_many(site: Site) -> None:
    now = site.store.now_ms()
    ids = [new_id() for _ in range(1200)]
    with site.client.pipeline() as pipeline:
        for job_id in ids:
            text = f"1 high 0 1 0 0 0\n[]\ncancelled 0 0 0 - 0 {now} 0\n{{}}"
            pipeline.set(site.keys.job(job_id), text)
        pipeline.zadd(site.key("cancelled:high"), dict.fromkeys(ids, now))
        pipeline.execute()


def unlist_queue(site: Site) -> None:
    site.client.srem(site.keys.queues, "high")


DAMAGES: dict[str, tuple[Damage, set[str]]] = {
    # Records and places
    "record of a pending job missing": (delete("job:moved"), {"record-missing"}),
    "record missing beside tombstones": (delete("job:pending"), {"wrong-counter"}),
    "record of a failed job missing": (
        delete("job:failed"),
        {"record-missing", "orphan-attempts"},
    ),
    "record of a running job missing": (
        delete("job:running"),
        {"record-missing", "orphan-state"},
    ),
    "record of a scheduled job missing": (
        delete("job:scheduled"),
        {"record-missing"},
    ),
    "record that is garbage": (
        set_record("failed", "garbage"),
        {"not-a-record", "record-missing"},
    ),
    "record of another version": (
        set_record("pending", "9 high 0 1 0 0 0\n[]"),
        {"not-a-record", "wrong-counter"},
    ),
    "id twice in pending": (rpush("pending:low", "moved"), {"twice"}),
    "id twice in alone, harmless to sets": (
        rpush("alone:high", "pending"),
        {"wrong-place"},
    ),
    "pending and scheduled": (zadd("scheduled:high", "pending"), {"wrong-counter"}),
    "pending and urgent": (zadd("priority:low", "moved"), {"wrong-place"}),
    "failed and pending": (rpush("pending:low", "failed"), {"wrong-place"}),
    "failed and succeeded": (zadd("succeeded:high", "failed"), {"wrong-place"}),
    "failed in another queue too": (zadd("failed:low", "failed"), {"wrong-place"}),
    "running and pending": (rpush("pending:low", "running"), {"wrong-place"}),
    "running and scheduled": (zadd("scheduled:high", "running"), {"wrong-place"}),
    "parked and failed": (zadd("failed:high", "parked"), {"wrong-place"}),
    "pending in none": (lrem("pending:high", "pending"), {"no-place"}),
    "urgent in none": (zrem("priority:high", "urgent"), {"no-place"}),
    "alone in none": (lrem("alone:high", "alone"), {"no-place"}),
    "scheduled in none": (zrem("scheduled:high", "scheduled"), {"no-place"}),
    "retrying in none": (zrem("scheduled:high", "retrying"), {"no-place"}),
    "parked in none": (zrem("parked:high", "parked"), {"no-place"}),
    "failed in none": (zrem("failed:high", "failed"), {"no-place"}),
    "expired in none": (zrem("expired:high", "expired"), {"no-place"}),
    "running in none": (lose_entry, {"no-place"}),
    "whole queue gone": (delete("pending:high"), {"no-place", "wrong-counter"}),
    "what is no id in an index": (
        zadd("failed:high", "\x00?!", 9e12),
        {"record-missing"},
    ),
    "what is no id in pending": (rpush("pending:low", "no id"), {"record-missing"}),
    # Workers
    "claimed by an unknown worker": (claim_by_a_ghost, {"unknown-worker"}),
    "worker without a lease": (unregister, {"no-lease"}),
    "lease without its worker": (forget_hash, {"no-worker"}),
    "lease for ever": (lease_for_ever, {"long-lease"}),
    "entry twice": (repeat_entry, {"wrong-entry"}),
    "entry that is none": (hold("garbage"), {"wrong-entry"}),
    "entry of a pending job": (hold("pending w9:1:0"), {"wrong-entry"}),
    "entry of an ended job": (hold("failed w9:1:0"), {"wrong-entry"}),
    "entry of an old claim": (hold("running w9:1:0"), {"wrong-entry"}),
    "entry of nothing": (hold("nothing w9:1:0"), {"record-missing"}),
    # What belongs to a job
    "orphan state": (hset("state:nobody", "status", "pending"), {"orphan-state"}),
    "orphan result": (
        lambda site: site.client.set(site.key("result:nobody"), "1", ex=99),
        {"orphan-result"},
    ),
    "orphan attempts": (rpush("attempts:nobody", "{}"), {"orphan-attempts"}),
    "attempts that are not listed": (srem("beside", "failed"), {"not-listed"}),
    "a result that is not listed": (srem("beside", "apart"), {"not-listed"}),
    "record gone of a job whose result has expired": (
        both(delete("job:apart"), delete("result:apart")),
        {"record-missing"},
    ),
    "garbage in place of a listed job": (
        both(delete("result:apart"), set_record("apart", "garbage")),
        {"not-a-record", "record-missing"},
    ),
    "all lists of these gone": (delete("beside"), {"not-listed"}),
    "state of an ended job": (
        hset("state:failed", "status", "pending"),
        {"state-of-ended"},
    ),
    "result of a live job": (
        lambda site: site.client.set(site.key("result:pending"), "1", ex=99),
        {"result-of-live"},
    ),
    "state of a status that is none": (
        hset("state:parked", "status", "resting"),
        {"wrong-state"},
    ),
    "state without a status": (
        hdel("state:retrying", "status"),
        {"wrong-state"},
    ),
    "state of a running job gone": (delete("state:running"), {"wrong-entry"}),
    "state of a running job without a token": (
        hdel("state:running", "token"),
        {"wrong-state", "wrong-entry", "no-place"},
    ),
    "state whose run is no number": (
        hset("state:retrying", "run", "many"),
        {"wrong-state"},
    ),
    # Lifetimes and bounds
    "a live job with a lifetime": (expire("job:pending"), {"has-lifetime"}),
    "a state with a lifetime": (expire("state:retrying"), {"has-lifetime"}),
    "a queue with a lifetime": (expire("pending:high"), {"has-lifetime"}),
    "a result without a lifetime": (persist("result:apart"), {"no-lifetime"}),
    "messages without a lifetime": (rpush("control:w9", "stop"), {"no-lifetime"}),
    "lost workers without a lifetime": (
        lambda site: site.client.persist(site.key("lost")),
        {"no-lifetime"},
    ),
    "ended beyond KEEP by age": (end_long_ago, {"beyond-keep"}),
    "ended beyond KEEP by number": (end_too_many, {"beyond-keep"}),
    "too many wake-up tokens": (rpush("wake:high", *"1" * 20), {"too-many-tokens"}),
    # Counters and the rest
    "counter too high": (hset("tombstones", "low", "7"), {"wrong-counter"}),
    "counter too low": (hset("tombstones", "high", "1"), {"wrong-counter"}),
    "counter gone": (delete("tombstones"), {"record-missing", "wrong-place"}),
    "counter that is none": (hset("tombstones", "high", "x"), {"wrong-counter"}),
    "queue that is not listed": (unlist_queue, {"unlisted-queue"}),
    "pause that nobody can read": (hset("paused", "low", "x"), {"wrong-pause"}),
    "sequence that is no number": (
        lambda site: site.client.set(site.keys.base + "sequence", "x"),
        {"not-a-number"},
    ),
    "maintained that is no number": (
        lambda site: site.client.set(site.keys.base + "maintained", "x"),
        {"not-a-number"},
    ),
}
NOT_MENDED: dict[str, tuple[Damage, set[str]]] = {
    "foreign key in the group": (rpush("shopping:list", "milk"), {"foreign-key"}),
    "foreign single key": (rpush("shopping", "milk"), {"foreign-key"}),
    "foreign key under the prefix": (
        lambda site: site.client.set(f"{site.keys.prefix}:cache", "x"),
        {"foreign-key"},
    ),
    "schema of another version": (
        lambda site: site.client.set(site.keys.schema, "99"),
        {"wrong-schema"},
    ),
}


@pytest.mark.parametrize("name", [*DAMAGES, *NOT_MENDED])
def test_damage_is_found(operator: Operator, site: Site, name: str):
    damage, expected = {**DAMAGES, **NOT_MENDED}[name]
    damage(site)

    found = examine(operator)

    assert {one["code"] for one in found["broken"]} == expected
    assert all(one["message"].endswith((".", "?")) for one in found["broken"])
    with pytest.raises(CommandError, match="broken"):
        operator("doctor")


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_mended_and_no_record_lost(
    operator: Operator, site: Site, look: Look, name: str
):
    damage, expected = DAMAGES[name]
    damage(site)
    before = site.records()

    found = examine(operator, "--repair")

    assert found["broken"] == []
    assert {one["code"] for one in found["mended"]} >= expected
    look()
    assert codes(operator) == []
    if "not-a-record" not in expected and "beyond-keep" not in expected:
        assert before <= site.records()


@pytest.mark.parametrize("name", NOT_MENDED)
def test_what_is_not_ours_is_left_to_people(operator: Operator, site: Site, name: str):
    damage, expected = NOT_MENDED[name]
    damage(site)

    assert set(codes(operator, "--repair")) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_each_kind_may_be_of_a_wrong_type(
    operator: Operator, site: Site, look: Look, kind: str
):
    named = {
        "job": site.ids["failed"],
        "state": site.ids["retrying"],
        "attempts": site.ids["failed"],
        "result": site.ids["apart"],
        "done": site.ids["failed"],
        "sent": site.ids["failed"],
        "claimed": site.worker.name,
        "worker": site.worker.name,
        "control": site.worker.name,
        "stacks": site.worker.name,
        "stats": f"hour:{site.store.now_ms() // 3_600_000}",
        "spread": f"hour:{site.store.now_ms() // 3_600_000}:high",
    }
    subject = kind if KINDS[kind].single else f"{kind}:{named.get(kind, 'high')}"
    overwrite(site, subject, KINDS[kind].type)
    records = site.records()

    found = examine(operator)
    assert ("wrong-type", subject) in [
        (one["code"], one["where"]) for one in found["broken"]
    ]

    assert codes(operator, "--repair") == []
    # What was there is kept aside, and every job has its place again.
    assert list(site.client.scan_iter(f"{site.keys.base}aside:*:{subject}"))
    assert records - {site.key("job:failed").encode()} <= site.records()
    assert codes(operator) == []
    assert any("aside" in warning for warning in examine(operator)["warnings"])


def overwrite(site: Site, subject: str, kind: str) -> None:
    """Put another type there than it ought to be."""
    key = site.keys.base + subject
    site.client.delete(key)
    if kind == "string":
        site.client.rpush(key, "x")
    else:
        site.client.set(key, "x")


def test_a_foreign_key_is_named_in_full(operator: Operator, site: Site):
    """Whoever has to remove it by hand can copy its name."""
    NOT_MENDED["foreign key in the group"][0](site)

    (found,) = examine(operator)["broken"]

    assert site.key("shopping:list") in found["message"]


def test_several_damages_at_once(operator: Operator, site: Site, look: Look):
    for name in (
        "whole queue gone",
        "claimed by an unknown worker",
        "orphan state",
        "failed in none",
        "counter that is none",
        "a live job with a lifetime",
    ):
        DAMAGES[name][0](site)

    assert codes(operator, "--repair") == []

    look()


def test_lost_jobs_come_back_at_the_head_in_their_order(
    operator: Operator, store: Store
):
    first = store.add("high", 3)
    store.client.delete(store.keys.pending("high"))
    later = store.add("high", 2)

    operator("doctor", "--repair")

    claimed = store.worker("high").claim(9)
    # Ids of one millisecond have no order.
    assert [one.id for one in claimed] == [*sorted(first), *later]


def test_who_waits_for_a_retry_goes_on_waiting(operator: Operator, site: Site):
    site.client.zrem(site.key("scheduled:high"), site.ids["retrying"])

    examine(operator, "--repair")

    due_ms = site.client.zscore(site.key("scheduled:high"), site.ids["retrying"])
    assert due_ms is not None
    assert due_ms > site.store.now_ms() + 500_000


def test_the_counter_of_a_long_list_is_verified_too(
    operator: Operator, store: Store, look: Look
):
    added = store.add("high", 6_000)
    store.delete(*added[:40])
    assert codes(operator) == []
    store.client.rpush(store.keys.pending("high"), added[100], added[3000])

    found = examine(operator)
    assert [one["code"] for one in found["broken"]] == ["wrong-counter"]
    assert "42 ids that no job waits for there, and 40 are counted" in str(found)

    assert codes(operator, "--repair") == []
    look()


def test_each_id_that_is_too_much_is_told(operator: Operator, store: Store):
    twice = store.add("high", 2)
    store.client.rpush(store.keys.pending("high"), *twice, "nothing")

    found = examine(operator)

    assert [one["code"] for one in found["broken"]] == [
        *("record-missing", "twice", "twice")
    ]


def test_a_job_put_back_after_its_worker_vanished_runs_again(
    operator: Operator, site: Site
):
    claim_by_a_ghost(site)

    operator("doctor", "--repair")

    assert site.store.status(site.ids["running"]) is JobStatus.PENDING
    assert site.store.record(site.ids["running"]).crashes == 0


def test_many_findings_are_summed_up(operator: Operator, store: Store):
    store.add("high", 50)
    store.client.delete(store.keys.pending("high"))

    with pytest.raises(CommandError, match="50 things are broken"):
        operator("doctor")
    mended = operator("doctor", "--repair")

    assert "30 more (no-place)" in mended
    assert len(store.worker("high").claim(99)) == 50


# -- warnings ----------------------------------------------------------------------------


def test_a_dead_worker_is_a_warning(operator: Operator, site: Site):
    site.client.zadd(site.keys.workers, {site.worker.name: 1})

    found = examine(operator)

    assert found["ok"]
    assert any("is dead and holds 1 jobs" in one for one in found["warnings"])


def test_old_jobs_that_no_worker_came_for_are_a_warning(operator: Operator, site: Site):
    """All workers were stopped for a month: nobody could trim."""
    month_ago = site.store.now_ms() - 31 * 86_400_000
    site.client.set(site.keys.base + "maintained", month_ago)
    site.client.zadd(
        site.key("failed:high"), {site.ids["failed"]: month_ago - 3 * 86_400_000}
    )

    found = examine(operator)

    assert found["ok"]
    assert any("older than KEEP" in one for one in found["warnings"])


def test_an_unsafe_server_is_a_warning(operator: Operator, client: redis.Redis):
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = examine(operator)
    finally:
        client.config_set("maxmemory-policy", "noeviction")

    assert found["ok"]
    assert any("maxmemory-policy allkeys-lru" in one for one in found["warnings"])
    assert any("nothing on disk" in one for one in found["warnings"])


def test_other_groups_and_stores_are_no_damage(operator: Operator, store: Store):
    other = Store(store.client, GroupKeys(store.keys.prefix, "forgotten"))
    other.add("elsewhere")
    nested = Store(store.client, GroupKeys(f"{store.keys.prefix}:staging"))
    nested.add("high")

    found = examine(operator)

    assert found["ok"]
    assert any(
        "{forgotten}, a group that the settings" in one for one in found["warnings"]
    )


def test_every_group_is_looked_at(redisjobs: dict[str, Any], store: Store):
    queues = {"default": {}, "low": {"GROUP": "other"}}
    other = Store(store.client, GroupKeys(store.keys.prefix, "other"))
    other.add("low")
    other.client.delete(other.keys.pending("low"))
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        operator = Operator()
        assert codes(operator) == ["no-place"]
        assert codes(operator, "--repair") == []


def with_groups(redisjobs: dict[str, Any], **groups: str) -> Any:
    queues = {
        queue: {"GROUP": groups[queue]} if queue in groups else {}
        for queue in redisjobs["QUEUES"]
    }
    return override_settings(REDISJOBS={**redisjobs, "QUEUES": queues})


@pytest.mark.parametrize(
    "groups",
    [{"low": "b"}, {"high": "b", "default": "b", "low": "c"}],
    ids=["one", "all"],
)
def test_what_waits_where_its_queue_was_is_told(
    redisjobs: dict[str, Any], store: Store, operator: Operator, groups: dict[str, str]
):
    body = f'["{add.path}",[1],{{}}]'
    store.enqueue(*(NewJob(new_id(), "low", body) for _ in range(3)))
    worker = store.worker("low")
    worker.settle(*worker.claim(), kind="parked")
    worker.settle(*worker.claim())
    store.enqueue(NewJob(new_id(), "low", body, delay_ms=60_000))
    assert examine(operator)["ok"]

    with with_groups(redisjobs, **groups):
        (found,) = examine(operator)["broken"]
        assert (found["code"], found["mendable"]) == ("stranded", False)
        assert found["where"] == "{default} low"
        assert "3 jobs wait in queue low of group 'default'" in found["message"]
        assert f"in group '{groups['low']}'" in found["message"]
        assert codes(operator, "--repair") == ["stranded"]
        if len(groups) == 1:
            with pytest.raises(CommandError, match="3 jobs wait in queue low"):
                operator("doctor", "--code")
            with pytest.raises(CommandError):
                operator.json("doctor", "--code")
            assert json.loads(operator.printed)["stranded"] == [found["message"]]
    assert examine(operator)["ok"]


def test_what_has_ended_where_its_queue_was_is_history(
    redisjobs: dict[str, Any], store: Store, operator: Operator
):
    store.add("low")
    worker = store.worker("low")
    worker.settle(*worker.claim())

    with with_groups(redisjobs, low="b"):
        assert examine(operator)["ok"]
        operator("doctor", "--code")


def test_queues_of_another_project_are_not_stranded(
    redisjobs: dict[str, Any], store: Store, operator: Operator
):
    """Its prefix begins as ours does."""
    nested = Store(store.client, GroupKeys(f"{store.keys.prefix}:staging", "old"))
    nested.add("low")

    operator("doctor", "--code")
    assert examine(operator)["ok"]


def test_repair_and_code_are_two_things(operator: Operator):
    with pytest.raises(CommandError, match="choose one"):
        operator("doctor", "--repair", "--code")


# -- a live store --------------------------------------------------------------------------


class Bustle:
    """Threads that do to a store all that workers and people do, until told to stop."""

    def __init__(self, store: Store, open_client: Callable[[], redis.Redis]) -> None:
        self._store = store
        self._open = open_client
        self._over = threading.Event()
        self.errors: list[BaseException] = []
        self.rounds = 0
        self._threads = [
            threading.Thread(target=self._guarded, args=(work, number))
            for number, work in enumerate(
                [self._produce, self._work, self._work, self._crash, self._meddle]
            )
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: Callable[[Store, int], None], number: int) -> None:
        with self._open() as client:
            mine = Store(client, self._store.keys)
            try:
                while not self._over.is_set():
                    work(mine, number)
                    self.rounds += 1
            except BaseException as error:  # noqa: BLE001 - the test tells it
                self.errors.append(error)

    def _produce(self, store: Store, number: int) -> None:
        store.enqueue(*(job("q", priority=level) for level in (0, 0, 0, 5, -5)))
        store.enqueue(
            job("q", delay_ms=3), job("q", delay_ms=60_000), job("q", ttl_ms=1)
        )

    def _work(self, store: Store, number: int) -> None:
        worker = store.worker("q", "other", name=f"w{number}-{new_id()}")
        kinds = ["succeeded", "failed", "retry", "released", "cancelled", "parked"]
        try:
            for kind in kinds * 3:
                more = {"delay_ms": 2} if kind == "retry" else {}
                jobs = worker.claim(20)
                worker.settle(*jobs[:-2], kind=kind, **more)
                worker.settle(*jobs[-2:], result='"x"', result_ttl_ms=50)
            store.rescue(worker)
        except LeaseLost:
            return

    def _crash(self, store: Store, number: int) -> None:
        worker = store.worker("q", name=f"c-{new_id()}")
        try:
            jobs = worker.claim(10, fresh=True)
        except LeaseLost:
            return
        store.rescue(worker, jobs[:1])

    def _meddle(self, store: Store, number: int) -> None:
        ids = [
            raw.decode()
            for raw in (
                *store.client.lrange(store.keys.pending("q"), -30, -1),
                *store.client.zrange(store.keys.scheduled("q"), 0, 5),
                *store.client.zrange(store.keys.ended("failed", "q"), 0, 5),
                *store.client.zrange(store.keys.ended("parked", "q"), 0, 5),
            )
        ]
        store.cancel(*ids[:5])
        store.delete(*ids[5:10])
        store.do(operations.move_many(store.keys, ids[10:20], "other"))
        store.do(operations.move_many(store.keys, ids[15:18], "q"))
        store.retry(*ids[20:])
        store.do(operations.promote_many(store.keys, ids[30:33]))
        store.pause("other", reason="a moment")
        store.resume("other")


@pytest.fixture
def bustle(store: Store, server: Any) -> Iterator[Bustle]:
    with Bustle(store, server.client) as working:
        yield working
    assert working.errors == []


@pytest.mark.slow
def test_a_store_under_load_is_whole(store: Store, bustle: Bustle, look: Look):
    reports: list[Report] = []
    while len(reports) < 12:
        reports.append(
            store.do(audit(store.keys, lease_ms=LEASE_MS, keep=DEFAULT_KEEP))
        )

    assert [one.message for report in reports for one in report.broken] == []
    assert bustle.rounds > 50
    assert max(report.jobs for report in reports) > 100


def test_damage_is_found_under_load(store: Store, bustle: Bustle):
    """One lost job among thousands that move."""
    lost = NewJob(new_id(), "q", '["shop.jobs.send",[1],{}]')
    store.client.set(store.keys.job(lost.id), "1 q 0 1 0 0 0\n[]")
    report: Report = store.do(audit(store.keys, lease_ms=LEASE_MS, keep=DEFAULT_KEEP))

    assert [(one.code, one.where) for one in report.broken] == [
        ("no-place", f"job:{lost.id}")
    ]
