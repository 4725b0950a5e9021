"""Jobs chosen by status, queue, function and time: look at them, act on them.

``jobs`` is where every query begins. A query is a value: each step gives a new one, and
Redis is asked by what counts, lists or changes something.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from django_redisjobs import conf
from django_redisjobs.calls import aask, ask, places
from django_redisjobs.core import inspection, lookup, operations
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.payload import parse_body
from django_redisjobs.core.records import ENDED, JobRecord, JobStatus
from django_redisjobs.core.scripts import Conversation
from django_redisjobs.definitions import JobFunction
from django_redisjobs.durations import Duration, parse_duration
from django_redisjobs.exceptions import PayloadMalformed, UnknownQueue
from django_redisjobs.options import epoch_ms, read_queue, read_run_after
from django_redisjobs.snapshots import JobInfo

PAGE: Final = 500
"""Records read at once."""

Operate = Callable[[GroupKeys, Sequence[str]], Conversation[list[str]]]
Chosen = Mapping[GroupKeys, Sequence[str]]
Test = Callable[[JobRecord], bool]


@dataclass(frozen=True, slots=True)
class Operation:
    """What people do to many jobs.

    ``statuses``: those that are meant where none is named. ``done``: the words of the
    core after which all is as wanted.
    """

    statuses: tuple[JobStatus, ...]
    done: frozenset[str]
    operate: Operate


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of each job. ``done``: how many are now as wanted.

    ``words``: how many for each answer, such as ``pending``, ``running`` or
    ``missing``.
    """

    done: int
    words: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.words.values())

    @classmethod
    def of(cls, operation: Operation, words: Mapping[str, int]) -> Tally:
        done = sum(words.get(word, 0) for word in operation.done)
        return cls(done, MappingProxyType(dict(words)))


# What is in the order of running, and leaves at the beginning.
_AS_RUN: Final = (JobStatus.PENDING, JobStatus.SCHEDULED)
WAITING: Final = (JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.PARKED)


def _cancel(keys: GroupKeys, ids: Sequence[str]) -> Conversation[list[str]]:
    return operations.cancel_many(keys, ids, keep=conf.get_settings().keep)


RETRY: Final = Operation(
    (JobStatus.FAILED,), frozenset({"pending"}), operations.retry_many
)
RUN_NOW: Final = Operation(
    (JobStatus.SCHEDULED,), frozenset({"pending"}), operations.promote_many
)
CANCEL: Final = Operation(
    (*WAITING, JobStatus.RUNNING), frozenset({"cancelled", "requested"}), _cancel
)
DELETE: Final = Operation(
    tuple(status for status in JobStatus if status in ENDED),
    frozenset({"deleted"}),
    operations.delete_many,
)


_DELETE_ENDED: Final = replace(DELETE, operate=operations.delete_ended_many)


def deletion(statuses: Sequence[JobStatus]) -> Operation:
    """Of jobs that were chosen by these statuses, or by those that DELETE is for: where
    all are ends, what has been run again since then stays.
    """
    return _DELETE_ENDED if set(statuses) <= ENDED else DELETE


def move_to(queue: str) -> Operation:
    """Raises UnknownQueue when the settings have none of that name."""
    conf.get_queue_settings(read_queue(queue))

    def operate(keys: GroupKeys, ids: Sequence[str]) -> Conversation[list[str]]:
        return operations.move_many(keys, ids, queue)

    return Operation(WAITING, frozenset({"moved", "same"}), operate)


@dataclass(frozen=True, slots=True)
class Scope:
    """The jobs of one queue in one status."""

    keys: GroupKeys
    queue: str
    status: JobStatus

    def page(
        self, offset: int, limit: int, *, brief: bool, from_end: bool = False
    ) -> Conversation[tuple[int, list[JobRecord]]]:
        """How many there are and some of them: the newest first of what ended, else
        in the order in which they will run. ``from_end``: of these the last first, page
        by page; so none is passed over while workers take others.
        """
        place = (self.keys, self.queue, self.status)
        return inspection.page(*place, offset, limit, brief=brief, from_end=from_end)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Jobs that are in Redis. What asks Redis has an async twin, and raises
    ServerUnavailable, and UnknownQueue for a queue that is nowhere.

    Without a status, all are looked at; what changes jobs then takes those that it
    is meant for. The steps for statuses add up: ``jobs.failed().expired()`` are both.
    """

    statuses: tuple[JobStatus, ...] = ()
    queues: tuple[str, ...] = ()
    function: str = ""
    since_ms: int = 0
    until_ms: int = 0

    # -- steps -----------------------------------------------------------------

    def with_status(self, *statuses: JobStatus | str) -> JobQuery:
        """Raises ValueError for a word that is no status, and for none at all: a choice
        that happens to be empty does not mean all jobs.
        """
        if not statuses:
            raise ValueError("with_status() needs a status.")
        added = (*self.statuses, *map(status_of, statuses))
        return replace(self, statuses=tuple(dict.fromkeys(added)))

    def scheduled(self) -> JobQuery:
        return self.with_status(JobStatus.SCHEDULED)

    def pending(self) -> JobQuery:
        return self.with_status(JobStatus.PENDING)

    def running(self) -> JobQuery:
        return self.with_status(JobStatus.RUNNING)

    def succeeded(self) -> JobQuery:
        return self.with_status(JobStatus.SUCCEEDED)

    def failed(self) -> JobQuery:
        return self.with_status(JobStatus.FAILED)

    def cancelled(self) -> JobQuery:
        return self.with_status(JobStatus.CANCELLED)

    def expired(self) -> JobQuery:
        return self.with_status(JobStatus.EXPIRED)

    def parked(self) -> JobQuery:
        return self.with_status(JobStatus.PARKED)

    def in_queue(self, *names: str) -> JobQuery:
        """Of any of these queues. Raises ValueError for none at all, TypeError for what
        is no text.
        """
        if not names:
            raise ValueError("in_queue() needs the name of a queue.")
        added = (*self.queues, *map(read_queue, names))
        return replace(self, queues=tuple(dict.fromkeys(added)))

    def for_function(self, function: JobFunction[..., Any] | str) -> JobQuery:
        """Of one function: a job function, or its dotted path. Raises ValueError for
        anything else.
        """
        path: Any = function.path if isinstance(function, JobFunction) else function
        if not path or not isinstance(path, str):
            raise ValueError(f"{path!r} is no job function, and no dotted path of one.")
        return replace(self, function=path)

    def since(self, when: Duration | datetime) -> JobQuery:
        """What ended, started or (else) came in no earlier than an aware time, or than
        a duration ago.

        Raises:
            ValueError: no such time.
        """
        return replace(self, since_ms=_time_ms(when))

    def until(self, when: Duration | datetime) -> JobQuery:
        """What ended, started or (else) came in earlier than that; see ``since``."""
        return replace(self, until_ms=_time_ms(when))

    # -- looking -----------------------------------------------------------------

    def count(self) -> int:
        """How many there are. Quick by status and queue; else each one is read."""
        return ask(self._count())

    async def acount(self) -> int:
        return await aask(self._count())

    def ids(self, limit: int | None = None) -> list[str]:
        """Their ids: what ended newest first, else in the order of running; queue by
        queue.
        """
        return _flat(ask(self.chosen(self._statuses, limit)))

    async def aids(self, limit: int | None = None) -> list[str]:
        return _flat(await aask(self.chosen(self._statuses, limit)))

    def infos(self, limit: int = 100) -> list[JobInfo]:
        """Snapshots of the first of them, in the order of ``ids``.

        Raises:
            PayloadMalformed: another build stored a job that this one cannot read.
        """
        return [JobInfo.of(record) for record in ask(self._records(limit))]

    async def ainfos(self, limit: int = 100) -> list[JobInfo]:
        return [JobInfo.of(record) for record in await aask(self._records(limit))]

    # -- changing ----------------------------------------------------------------

    def retry(self) -> Tally:
        """Run ended and parked jobs again: same ids, fresh budgets. By default those
        that failed.
        """
        return ask(self._change(RETRY))

    async def aretry(self) -> Tally:
        return await aask(self._change(RETRY))

    def run_now(self) -> Tally:
        """Make scheduled jobs pending, whenever they are due."""
        return ask(self._change(RUN_NOW))

    async def arun_now(self) -> Tally:
        return await aask(self._change(RUN_NOW))

    def cancel(self) -> Tally:
        """End what waits, interrupt what runs."""
        return ask(self._change(CANCEL))

    async def acancel(self) -> Tally:
        return await aask(self._change(CANCEL))

    def delete(self) -> Tally:
        """Forget jobs that do not run. By default those that have ended."""
        return ask(self._change(deletion(self.statuses)))

    async def adelete(self) -> Tally:
        return await aask(self._change(deletion(self.statuses)))

    def move(self, queue: str) -> Tally:
        """Take jobs that wait to another queue of the same group. Those of other
        groups stay where they are, as ``elsewhere``.

        Raises:
            UnknownQueue: the settings have none of that name.
        """
        return ask(self._change(move_to(queue), conf.keys_for(queue)))

    async def amove(self, queue: str) -> Tally:
        return await aask(self._change(move_to(queue), conf.keys_for(queue)))

    # -- for those who look at records -----------------------------------------------

    def matches(self, record: JobRecord) -> bool:
        """Whether a job of these queues and statuses is one of those meant."""
        moment = moment_of(record)
        if self.since_ms and moment < self.since_ms:
            return False
        if self.until_ms and moment >= self.until_ms:
            return False
        return not self.function or function_of(record) == self.function

    def scopes(self, statuses: Sequence[JobStatus]) -> Conversation[list[Scope]]:
        """Where to look. Raises UnknownQueue."""
        if conf.get_settings().eager:
            # Nothing is in Redis, which may not even be there.
            return []
        groups = yield from places()
        known = {queue for _, queues in groups for queue in queues}
        for queue in self.queues:
            if queue not in known:
                # For its message: neither the settings nor Redis have that queue.
                conf.get_queue_settings(queue)
                raise UnknownQueue(f"There is no queue {queue!r}.")
        return [
            Scope(keys, queue, status)
            for keys, queues in groups
            for queue in queues
            if not self.queues or queue in self.queues
            for status in statuses
        ]

    def is_past(self, scope: Scope, page: Sequence[JobRecord]) -> bool:
        """Whether what follows ended too long ago: only ends are in order of time."""
        ordered = scope.status in ENDED and self.since_ms
        return bool(ordered and page and moment_of(page[-1]) < self.since_ms)

    def chosen(
        self, statuses: Sequence[JobStatus], limit: int | None = None
    ) -> Conversation[dict[GroupKeys, list[str]]]:
        """The ids by group, each once; at most ``limit`` of them. Records are read a
        page at a time, and no more than their ids kept.
        """
        found, _ = yield from self.search(statuses, limit, from_end=limit is None)
        return found

    def search(
        self,
        statuses: Sequence[JobStatus],
        limit: int | None = None,
        also: Test = lambda _record: True,
        look_at: int | None = None,
        *,
        from_end: bool = True,
    ) -> Conversation[tuple[dict[GroupKeys, list[str]], bool]]:
        """As ``chosen``, but reads at most ``look_at`` records; also says whether some were
        left unread for that.

        ``from_end``: of what waits in a queue the last ones, where there is a bound, and
        none is passed over while workers take others.
        """
        found: dict[GroupKeys, dict[str, None]] = {}
        left, to_look_at, is_cut = limit, look_at, False
        # In the order in which jobs go from one to the next.
        statuses = sorted(statuses, key=list(JobStatus).index)
        for scope in (yield from self.scopes(statuses)):
            ids = found.setdefault(scope.keys, {})
            before = len(ids)
            looking = (left, also, to_look_at)
            backwards = from_end and scope.status in _AS_RUN
            seen, is_cut = yield from self._collect(scope, ids, *looking, backwards)
            if left is not None:
                left -= len(ids) - before
            if to_look_at is not None:
                to_look_at -= seen
            if is_cut or (left is not None and left <= 0):
                break
        return {keys: list(ids) for keys, ids in found.items() if ids}, is_cut

    def _collect(
        self,
        scope: Scope,
        ids: dict[str, None],
        limit: int | None,
        also: Test,
        look_at: int | None,
        from_end: bool,
    ) -> Conversation[tuple[int, bool]]:
        """Add to ``ids``; how many records were looked at, and whether others were not
        because of ``look_at``: with 0, whether there are any.
        """
        taken: dict[str, None] = {}
        looked, is_cut = 0, False
        while len(taken) != limit:
            size = PAGE if look_at is None else min(PAGE, look_at - looked)
            total, page = yield from scope.page(
                looked, size, brief=True, from_end=from_end
            )
            if total <= looked:
                break
            for record in reversed(page) if from_end else page:
                is_new = record.id not in ids and len(taken) != limit
                if is_new and self.matches(record) and also(record):
                    taken[record.id] = None
            looked = min(looked + size, total)
            if looked == look_at:
                is_cut = looked < total
                break
            # From the end the first may have been pushed out of the page by what came
            # in: one more look tells.
            if self.is_past(scope, page) or (looked >= total and not from_end):
                break
        ids.update(dict.fromkeys(reversed(taken) if from_end else taken))
        return looked, is_cut

    @property
    def _statuses(self) -> tuple[JobStatus, ...]:
        return self.statuses or tuple(JobStatus)

    def _count(self) -> Conversation[int]:
        if self.function or self.since_ms or self.until_ms:
            chosen = yield from self.chosen(self._statuses)
            return sum(map(len, chosen.values()))
        queues: dict[GroupKeys, dict[str, None]] = {}
        for scope in (yield from self.scopes(self._statuses)):
            queues.setdefault(scope.keys, {})[scope.queue] = None
        total = 0
        for keys, names in queues.items():
            for counts in (yield from inspection.counts(keys, list(names))):
                total += sum(getattr(counts, status) for status in self._statuses)
        return total

    def _records(self, limit: int) -> Conversation[list[JobRecord]]:
        chosen = yield from self.chosen(self._statuses, limit)
        records: list[JobRecord] = []
        for keys, ids in chosen.items():
            found = yield from lookup.jobs(keys, ids)
            records += yield from lookup.due_next(keys, found)
        return records

    def _change(
        self, operation: Operation, within: GroupKeys | None = None
    ) -> Conversation[Tally]:
        if self == jobs:
            raise ValueError(
                "That would be about every job there is. Narrow the query by a step, "
                "or name all statuses: jobs.with_status(*JobStatus)."
            )
        chosen = yield from self.chosen(self.statuses or operation.statuses)
        return (yield from change(operation, chosen, within))


def change(
    operation: Operation, chosen: Chosen, within: GroupKeys | None = None
) -> Conversation[Tally]:
    """Do it to jobs by group. ``within``: the only group that it can be done in."""
    words: Counter[str] = Counter()
    for keys, ids in chosen.items():
        if within is not None and keys != within:
            words["elsewhere"] += len(ids)
        else:
            words.update((yield from operation.operate(keys, ids)))
    return Tally.of(operation, words)


def moment_of(record: JobRecord) -> int:
    """When something last happened to it, in milliseconds."""
    if record.status is JobStatus.SCHEDULED:
        return record.enqueued_ms
    return record.finished_ms or record.started_ms or record.enqueued_ms


def function_of(record: JobRecord) -> str:
    """The dotted path; empty for a body that nobody can read."""
    try:
        return parse_body(record.shown_body).function
    except PayloadMalformed:
        return ""


def status_of(word: JobStatus | str) -> JobStatus:
    """Raises ValueError, which names those that there are."""
    try:
        return JobStatus(word)
    except ValueError:
        near = difflib.get_close_matches(str(word), list(JobStatus), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"{word!r} is no status.{hint} Choose from {', '.join(JobStatus)}."
        ) from None


def _time_ms(when: Duration | datetime) -> int:
    if isinstance(when, datetime):
        read_run_after(when)
        return epoch_ms(when)
    # This process's clock: who asks for an hour does not mean it to the millisecond.
    return epoch_ms(datetime.now(UTC) - timedelta(seconds=parse_duration(when)))


def _flat(chosen: Chosen) -> list[str]:
    return [job_id for ids in chosen.values() for job_id in ids]


jobs: Final = JobQuery()
