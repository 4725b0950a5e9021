"""Where each job is: the invariants that hold between any two scripts."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import redis

from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import ENDED, JobStatus, parse_record

WAITING_LISTS = ("pending", "alone")
WAITING_SETS = ("priority", "scheduled", "parked")
INDEXES = tuple(sorted(ENDED))
EXPECTED = {
    JobStatus.PENDING: {"pending", "alone", "priority"},
    JobStatus.SCHEDULED: {"scheduled"},
    JobStatus.PARKED: {"parked"},
    JobStatus.RUNNING: {"claimed"},
}
OF_A_JOB = ("job", "state", "result", "attempts", "done")
OF_A_WORKER = ("worker", "claimed", "control")
SINGLE = (
    *("schema", "workers", "queues", "paused", "tombstones", "aside"),
    *("sequence", "maintained", "waiters", "lost", "beside"),
)
WITH_LIFETIME = ("result", "done", "stats", "spread", "control", "stacks", "lost")


@dataclass
class Places:
    """``status`` and ``place`` of each id; ``claims``: id -> its worker and token."""

    status: dict[str, JobStatus] = field(default_factory=dict)
    place: dict[str, str] = field(default_factory=dict)
    claims: dict[str, tuple[str, str]] = field(default_factory=dict)

    def of(self, status: JobStatus) -> set[str]:
        return {job_id for job_id, found in self.status.items() if found is status}


def places(client: redis.Redis, keys: GroupKeys) -> Places:
    """Read the whole group and assert that it is consistent."""
    names = [key.decode() for key in client.scan_iter(f"{keys.base}*", count=1000)]
    kinds: dict[str, set[str]] = defaultdict(set)
    for name in names:
        kind, _, rest = name.removeprefix(keys.base).partition(":")
        kinds[kind].add(rest)
    unknown = kinds.keys() - {
        *(*OF_A_JOB, *OF_A_WORKER, *SINGLE, "stats", "spread", "wake"),
        *(*WAITING_LISTS, *WAITING_SETS, *INDEXES),
    }
    assert not unknown, f"keys that nobody owns: {unknown}"
    _check_lifetimes(client, names, keys.base)

    waiting, claims = _entries(client, keys, kinds)
    found = Places()
    with client.pipeline(transaction=False) as pipeline:
        for job_id in kinds["job"]:
            pipeline.get(keys.job(job_id))
            pipeline.hgetall(keys.state(job_id))
        stored = pipeline.execute()
    for job_id, raw, state in zip(kinds["job"], stored[::2], stored[1::2], strict=True):
        held = claims.pop(job_id, [])
        _locate(job_id, raw, state, waiting[job_id], held, found)
    assert not claims, f"held, and without a record: {dict(claims)}"
    _check_tombstones(client, keys, waiting)
    _check_owners(client, keys, kinds, found)
    return found


def _entries(
    client: redis.Redis, keys: GroupKeys, kinds: dict[str, set[str]]
) -> tuple[dict[str, Counter[str]], dict[str, list[tuple[str, str]]]]:
    """id -> how often in each list or set; id -> (worker, token) that hold it."""
    waiting: dict[str, Counter[str]] = defaultdict(Counter)
    claims: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for place in (*WAITING_LISTS, *WAITING_SETS, *INDEXES):
        read = client.lrange if place in WAITING_LISTS else client.zrange
        for queue in kinds[place]:
            for raw in read(f"{keys.base}{place}:{queue}", 0, -1):
                waiting[raw.decode()][f"{place}:{queue}"] += 1
    for worker in kinds["claimed"]:
        for raw in client.lrange(keys.claimed(worker), 0, -1):
            job_id, token = raw.decode().split(" ")
            claims[job_id].append((worker, token))
    return waiting, claims


def _locate(
    job_id: str,
    raw: bytes,
    state: dict[bytes, bytes],
    where: Counter[str],
    held: list[tuple[str, str]],
    found: Places,
) -> None:
    """Find the one place of a job and take it out of ``where``."""
    envelope = parse_record(raw)
    if envelope.ended:
        status = envelope.ended.status
        assert not state, f"{job_id} has ended, and has a state: {state}"
        expected = {status.value}
    else:
        scheduled = f"scheduled:{envelope.queue}" in where
        default = JobStatus.SCHEDULED if scheduled else JobStatus.PENDING
        status = JobStatus(state.get(b"status", default.encode()).decode())
        expected = EXPECTED[status]
    found.status[job_id] = status
    if status is JobStatus.RUNNING:
        assert len(held) == 1, f"{job_id} runs, and is held by {held}"
        assert state[b"token"].decode() == held[0][1]
        found.claims[job_id] = held[0]
        found.place[job_id] = "claimed"
        return
    assert not held, f"{job_id} is {status}, and is held by {held}"
    assert b"token" not in state
    # What moved on has left its id in the list of its old queue.
    own = {f"{place}:{envelope.queue}" for place in expected}
    here = [place for place in where if place in own]
    assert len(here) == 1, f"{job_id} is {status}, and its places are {where}"
    found.place[job_id] = here[0]
    where[here[0]] -= 1


def _check_tombstones(
    client: redis.Redis, keys: GroupKeys, waiting: dict[str, Counter[str]]
) -> None:
    tombstones: Counter[str] = Counter()
    for job_id, where in waiting.items():
        for place, number in where.items():
            kind, _, queue = place.partition(":")
            # Only the plain list keeps what does not wait there any more.
            assert not number or kind == "pending", f"{job_id} also stands in {place}"
            tombstones[queue] += number
    counted = {
        queue.decode(): int(number)
        for queue, number in client.hgetall(keys.tombstones).items()
    }
    assert counted == dict(+tombstones), "tombstones are not as counted"


def _check_owners(
    client: redis.Redis, keys: GroupKeys, kinds: dict[str, set[str]], found: Places
) -> None:
    for kind in ("state", "attempts"):
        ownerless = kinds[kind] - kinds["job"]
        assert not ownerless, f"{kind} of no job: {ownerless}"
    beside = {name.decode() for name in client.smembers(keys.beside)}
    assert kinds["attempts"] | kinds["result"] <= beside <= kinds["job"]
    live = {job_id for job_id, status in found.status.items() if status not in ENDED}
    assert not kinds["result"] & live, "a live job has a result"
    workers = {name.decode() for name in client.zrange(keys.workers, 0, -1)}
    assert kinds["worker"] == workers
    assert kinds["claimed"] <= workers, "entries of a worker that nobody knows"
    queues = {name.decode() for name in client.smembers(keys.queues)}
    used = {place.partition(":")[2] for place in found.place.values()} - {""}
    assert used <= queues
    for queue in kinds["wake"]:
        assert client.llen(keys.wake(queue)) <= 8


def _check_lifetimes(client: redis.Redis, names: list[str], base: str) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.pttl(name)
        for name, left in zip(names, pipeline.execute(), strict=True):
            kind = name.removeprefix(base).partition(":")[0]
            if kind in WITH_LIFETIME:
                assert left != -1, f"{name} lives for ever"
            else:
                assert left < 0, f"{name} would disappear by itself"
