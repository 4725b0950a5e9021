"""How jobs get to Redis: in as few calls as it bears, and what is said when they do not.

Each call is of one group of queues and one durability. One whose connection is lost is
made a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import redis

from django_redisjobs import conf, connections
from django_redisjobs.calls import explain
from django_redisjobs.core.durability import Durability
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.producer import enqueue
from django_redisjobs.core.records import NewJob
from django_redisjobs.core.scripts import aperform, perform
from django_redisjobs.exceptions import EnqueueError, NotAcknowledged, NotDurable
from django_redisjobs.handles import JobHandle
from django_redisjobs.signals import job_enqueued

# One script call blocks the server while it runs: about 10 ms for so many jobs.
_MOST_A_CALL = 5_000


class Outgoing(NamedTuple):
    """The jobs of one call on their way, to which queue, and of which job function
    they are (``sender``: None where nobody has looked).

    ``row``: the database in whose outbox they are; empty for none.
    """

    jobs: Sequence[NewJob]
    queue: str
    keys: GroupKeys
    sender: Any
    row: str = ""


def send(batch: Sequence[Outgoing]) -> None:
    """Send ``batch`` now, in one round trip for each group of queues.

    A group that fails does not keep the others back; its error is raised at the end. Of
    several it is one of jobs that were not enqueued, and names all of these.
    """
    failures: list[EnqueueError] = []
    for keys, durability, chunk in chunks(batch):
        try:
            deliver(keys, durability, chunk)
        except EnqueueError as error:
            failures.append(error)
            if not isinstance(error, NotDurable):
                continue
        announce(chunk)
    if failures:
        raise _gravest(failures)


async def asend(batch: Sequence[Outgoing]) -> None:
    """``send`` on the running event loop."""
    failures: list[EnqueueError] = []
    for keys, durability, chunk in chunks(batch):
        try:
            await _adeliver(keys, durability, chunk)
        except EnqueueError as error:
            failures.append(error)
            if not isinstance(error, NotDurable):
                continue
        if job_enqueued.receivers:
            for sender, job in _with_senders(chunk):
                await job_enqueued.asend_robust(sender, **_news(job))
    if failures:
        raise _gravest(failures)


def _gravest(failures: list[EnqueueError]) -> EnqueueError:
    """The first one of jobs that are not enqueued, if any; it names those of all like it."""
    refused = [each for each in failures if not isinstance(each, NotDurable)]
    alike = refused or failures
    first = alike[0]
    first.job_ids = tuple(chain.from_iterable(each.job_ids for each in alike))
    return first


def announce(batch: Sequence[Outgoing]) -> None:
    """Tell receivers that these were enqueued."""
    if job_enqueued.receivers:
        for sender, job in _with_senders(batch):
            job_enqueued.send_robust(sender, **_news(job))


def jobs_of(batch: Sequence[Outgoing]) -> list[NewJob]:
    """All jobs of ``batch``, in its order."""
    return [job for each in batch for job in each.jobs]


def _with_senders(batch: Sequence[Outgoing]) -> Iterator[tuple[Any, NewJob]]:
    return ((each.sender, job) for each in batch for job in each.jobs)


def _news(job: NewJob) -> dict[str, Any]:
    handle: JobHandle[Any] = JobHandle(job.id, job.queue)
    return {"job_id": job.id, "queue": job.queue, "handle": handle}


def chunks(
    batch: Sequence[Outgoing],
) -> Iterator[tuple[GroupKeys, Durability | None, Sequence[Outgoing]]]:
    """``batch`` by group of queues and how durable these are, each in order and in
    calls of a bearable size.
    """
    queues = conf.get_settings().queues
    if len(batch) == 1 and len(batch[0].jobs) <= _MOST_A_CALL:
        # Nearly always.
        yield batch[0].keys, queues[batch[0].queue].durable, batch
        return
    groups: dict[tuple[GroupKeys, Durability | None], list[Outgoing]] = {}
    keys, queue, members = None, None, []
    for each in batch:
        # To look up a group takes longer than to see that it is the last one's.
        if each.keys is not keys or each.queue != queue:
            keys, queue = each.keys, each.queue
            members = groups.setdefault((keys, queues[queue].durable), [])
        members.append(each)
    for (keys, durability), members in groups.items():
        for chunk in _bearable(members):
            yield keys, durability, chunk


def _bearable(batch: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """``batch`` in parts of at most _MOST_A_CALL jobs. Only who has more is divided:
    a part is stored as a whole or not at all.
    """
    part: list[Outgoing] = []
    room = _MOST_A_CALL
    for each in batch:
        number = len(each.jobs)
        if part and number > room:
            yield part
            part, room = [], _MOST_A_CALL
        if number <= _MOST_A_CALL:
            part.append(each)
            room -= number
            continue
        for first in range(0, number, _MOST_A_CALL):
            yield [each._replace(jobs=each.jobs[first : first + _MOST_A_CALL])]
    if part:
        yield part


def deliver(
    keys: GroupKeys, durability: Durability | None, chunk: Sequence[Outgoing]
) -> None:
    """Send one of ``chunks``, in one round trip.

    Raises:
        NotDurable: it is there, but not as durable as asked.
        EnqueueError: Redis refused it or did not answer.
    """
    client = connections.client()
    jobs = jobs_of(chunk)
    in_doubt = False
    try:
        try:
            perform(client, enqueue(keys, jobs, durability))
        except redis.ConnectionError as error:
            if not _is_lost(error):
                raise
            # It may have arrived or not; the ids make a second one harmless.
            in_doubt = _is_in_doubt(error)
            perform(client, enqueue(keys, jobs, durability))
    except redis.RedisError as error:
        raise _refusal(error, chunk, in_doubt=in_doubt) from error
    except NotAcknowledged as error:
        raise _not_durable(error, chunk) from error


async def _adeliver(
    keys: GroupKeys, durability: Durability | None, chunk: Sequence[Outgoing]
) -> None:
    if durability is None:
        client = connections.async_client()
    else:
        # It waits for replicas: all connections that tasks share would wait with it.
        client = connections.async_durable_client()
    jobs = jobs_of(chunk)
    in_doubt = False
    try:
        try:
            await aperform(client, enqueue(keys, jobs, durability))
        except redis.ConnectionError as error:
            if not _is_lost(error):
                raise
            # It may have arrived or not; the ids make a second one harmless.
            in_doubt = _is_in_doubt(error)
            await aperform(client, enqueue(keys, jobs, durability))
    except redis.RedisError as error:
        raise _refusal(error, chunk, in_doubt=in_doubt) from error
    except NotAcknowledged as error:
        raise _not_durable(error, chunk) from error


def _is_lost(error: redis.ConnectionError) -> bool:
    # Its subclasses are answers: a wrong password, a server that is loading.
    return type(error) is redis.ConnectionError


def _is_in_doubt(error: redis.RedisError) -> bool:
    """Whether Redis may have obeyed: it was asked, and no answer came."""
    unanswered = isinstance(error, redis.TimeoutError) or (
        isinstance(error, redis.ConnectionError) and _is_lost(error)
    )
    return unanswered and "connecting" not in str(error)


def _refusal(
    error: redis.RedisError, chunk: Sequence[Outgoing], *, in_doubt: bool
) -> EnqueueError:
    ids = _ids(chunk)
    fate = "was not enqueued" if len(ids) == 1 else "were not enqueued"
    if in_doubt or _is_in_doubt(error):
        fate = "may or may not have been enqueued: no answer came"
    return EnqueueError(f"{_named(chunk)} {fate}. {explain(error)}", ids)


def _not_durable(error: NotAcknowledged, chunk: Sequence[Outgoing]) -> NotDurable:
    ids = _ids(chunk)
    fate = "is" if len(ids) == 1 else "are"
    return NotDurable(
        f"{_named(chunk)} {fate} enqueued at {connections.describe()}, but not as durable "
        f"as DURABLE asks: {error}. Do not enqueue again what is there.",
        ids,
    )


def _ids(chunk: Sequence[Outgoing]) -> tuple[str, ...]:
    return tuple(job.id for job in jobs_of(chunk))


def _named(chunk: Sequence[Outgoing]) -> str:
    names = {each.sender.path for each in chunk}
    what = names.pop() if len(names) == 1 else "jobs of several functions"
    number = len(jobs_of(chunk))
    return f"{number:,} jobs ({what})" if number > 1 else what
