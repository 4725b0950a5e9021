"""Every key name of the store, in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SCHEMA_VERSION = "1"
"""Changes with what workers of an older build would misread; these then take no jobs."""

_GLOB = re.compile(r"([*?\[\]\\])")


@dataclass(frozen=True, slots=True)
class GroupKeys:
    """The names of one group's keys.

    The group is the Cluster hash tag: all its keys live in one slot, so a script
    may move a job from any of them to any other in one step.
    """

    prefix: str = "redisjobs"
    group: str = "default"
    base: str = field(init=False)
    schema: str = field(init=False)

    def __post_init__(self) -> None:
        base = f"{self.prefix}:{{{self.group}}}:"
        object.__setattr__(self, "base", base)
        object.__setattr__(self, "schema", f"{base}schema")

    def job(self, job_id: str) -> str:
        """The record: the envelope, and the end once there is one."""
        return f"{self.base}job:{job_id}"

    def state(self, job_id: str) -> str:
        """Hash; what changes while a job is live. Absent until its first claim."""
        return f"{self.base}state:{job_id}"

    def result(self, job_id: str) -> str:
        """A result whose lifetime is shorter than its record's."""
        return f"{self.base}result:{job_id}"

    def attempts(self, job_id: str) -> str:
        """List; one JSON entry an ended attempt."""
        return f"{self.base}attempts:{job_id}"

    def pending(self, queue: str) -> str:
        """List of ids, first in, first out."""
        return f"{self.base}pending:{queue}"

    def priority(self, queue: str) -> str:
        """Sorted set of the pending ids whose priority is not 0."""
        return f"{self.base}priority:{queue}"

    def alone(self, queue: str) -> str:
        """List of pending ids that may crash once more and so run alone."""
        return f"{self.base}alone:{queue}"

    def scheduled(self, queue: str) -> str:
        """Sorted set: id -> due time."""
        return f"{self.base}scheduled:{queue}"

    def ended(self, status: str, queue: str) -> str:
        """Sorted set of a status' ids by time: the ended ones and ``parked``."""
        return f"{self.base}{status}:{queue}"

    def wake(self, queue: str) -> str:
        """List of wake-up tokens."""
        return f"{self.base}wake:{queue}"

    def sent(self, job_id: str) -> str:
        """The memory that a job was enqueued, which outlives the job."""
        return f"{self.base}sent:{job_id}"

    def done(self, job_id: str) -> str:
        """List that wakes those who wait for one job's end."""
        return f"{self.base}done:{job_id}"

    def claimed(self, worker: str) -> str:
        """The reliable list: what a worker holds, as ``ID TOKEN``."""
        return f"{self.base}claimed:{worker}"

    def worker(self, worker: str) -> str:
        """Hash: a worker's call counter and what describes its process."""
        return f"{self.base}worker:{worker}"

    def control(self, worker: str) -> str:
        """List of messages to a worker."""
        return f"{self.base}control:{worker}"

    def stacks(self, worker: str) -> str:
        """What a worker's threads did when somebody asked."""
        return f"{self.base}stacks:{worker}"

    @property
    def lost(self) -> str:
        """List of workers that died or fell silent, as JSON, the newest first."""
        return f"{self.base}lost"

    @property
    def workers(self) -> str:
        """Sorted set: worker -> end of its lease."""
        return f"{self.base}workers"

    @property
    def synced(self) -> str:
        """Written before replicas are waited for: so there is always a write."""
        return f"{self.base}synced"

    @property
    def queues(self) -> str:
        """Set of the queues that ever held a job."""
        return f"{self.base}queues"

    @property
    def beside(self) -> str:
        """Set of the ids of jobs that have attempts, or a result of its own lifetime."""
        return f"{self.base}beside"

    @property
    def paused(self) -> str:
        """Hash: queue -> until when, since when, why and by whom."""
        return f"{self.base}paused"

    @property
    def tombstones(self) -> str:
        """Hash: queue -> ids in its pending list that claims will drop."""
        return f"{self.base}tombstones"

    @property
    def aside(self) -> str:
        """List of entries that could not be understood, raw."""
        return f"{self.base}aside"

    def statistics(self, bucket: str, number: int) -> str:
        """Hash of counters of one ``minute`` or ``hour`` since the epoch."""
        return f"{self.base}stats:{bucket}:{number}"

    def spread(self, bucket: str, number: int, queue: str) -> str:
        """How long runs waited and ran in one ``minute`` or ``hour``, as counters."""
        return f"{self.base}spread:{bucket}:{number}:{queue}"


def literally(text: str) -> str:
    """Text in a pattern of SCAN, where it stands for itself."""
    return _GLOB.sub(r"\\\1", text)


def worker_of(control: str) -> str:
    """The worker whose list of messages has this name."""
    return control.rpartition(":")[2]
