"""Bringing back what dead, stuck or vanished children held."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from random import Random
from typing import Any

import redis

from django_redisjobs import conf
from django_redisjobs.core import lookup, staff
from django_redisjobs.core.consumer import hand_back, settle_for
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.payload import parse_body
from django_redisjobs.core.presence import NOTHING, Remains, Rescued, rescue
from django_redisjobs.core.records import JobRecord, JobStatus, log_lines
from django_redisjobs.core.scripts import Client, perform
from django_redisjobs.core.settlements import Claimed, Settlement
from django_redisjobs.exceptions import JobTimeout, RedisJobsError
from django_redisjobs.retries import Retry

from .attempts import settlement
from .logs import JobLog, listed
from .machine import is_left_alone
from .memory import group_of, token_of, tokens_of
from .outcome import CANCEL, Description, judge
from .plans import Plan, Plans
from .stations import Post
from .trouble import TROUBLE

logger = logging.getLogger("redisjobs.worker")


def import_seconds() -> float:
    """How long the import of a job's module is waited for: a part of a lease, as all
    leases hang on who waits.
    """
    return conf.get_settings().lease_ms / 1000 / 3


@dataclass(frozen=True, slots=True)
class Overrun:
    """The job for whose sake its process was killed. ``reason``: TIMEOUT or CANCEL."""

    code: int
    job_id: str
    reason: str
    seconds: float


def rescue_request(
    worker: str,
    *,
    reason: str,
    codes: Sequence[int] = (),
    charged: bool = False,
    remains: Sequence[Remains] = (),
    overrun: Overrun | None = None,
    killed: bool = False,
) -> dict[str, Any]:
    """What ``Rescuer.rescue`` has to know, as it travels to the liaison."""
    return {
        "worker": worker,
        "codes": codes,
        "charged": charged,
        "reason": reason,
        "remains": remains,
        "overrun": None if overrun is None else astuple(overrun),
        "killed": killed,
    }


def read_rescue(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the sender gave to ``rescue_request``."""
    overrun = request["overrun"]
    return {
        "worker": request["worker"],
        "codes": request["codes"],
        "charged": request["charged"],
        "reason": request["reason"],
        "remains": [Remains(*each) for each in request["remains"]],
        "overrun": None if overrun is None else Overrun(*overrun),
        "killed": request["killed"],
    }


class Rescuer:
    """Acts in every group of a worker. redis-py's errors pass, when all groups have been
    tried; repeating is safe.

    ``away``: groups that are not tried, and why: those that hang take ten seconds.
    ``pass_on``: is told the messages that a child of this worker has left unread.
    ``breathe``: is called before each group is asked; may set ``away``.
    """

    def __init__(
        self,
        posts: Sequence[Post],
        log: JobLog,
        pass_on: Callable[[str, str], None],
        breathe: Callable[[], object],
    ) -> None:
        settings = conf.get_settings()
        self._posts = posts
        self._log = log
        self._pass_on = pass_on
        self._breathe = breathe
        self._plans = Plans()
        self._rng = Random()
        self._max_crashes = settings.max_crashes
        self._keep = settings.keep
        self._infos: dict[Post, Mapping[str, Mapping[str, str]]] = {}
        self.away: Mapping[Post, redis.RedisError | OSError] = {}

    def rescue(
        self,
        client: Client,
        worker: str,
        *,
        codes: Iterable[int],
        charged: bool,
        reason: str,
        remains: Sequence[Remains],
        overrun: Overrun | None = None,
        killed: bool = False,
    ) -> None:
        """A child is dead (waited for): bring back what it held.

        ``codes``: what ran, charged with a crash if ``charged``; ``remains``: what each
        of that left. ``killed``: people are told of its end though nobody is charged.
        ``overrun`` is settled first, by the rules for any ended attempt.
        """
        running: dict[int, dict[str, Remains]] = {}
        for code, left in zip(codes, remains, strict=True):
            of_group = running.setdefault(group_of(code), {})
            of_group[token_of(code, worker)] = left

        def rescue_in(post: Post) -> None:
            held = running.get(post.number, {})
            if overrun is not None and group_of(overrun.code) == post.number:
                left = held.get(token_of(overrun.code, worker), NOTHING)
                self._settle_overrun(client, post.keys, worker, overrun, left)
            rescued = self._rescue(
                client,
                post.keys,
                worker,
                running=held,
                reason=reason,
                charged=charged,
                killed=killed,
                beside=sum(map(len, running.values())) - len(held),
            )
            # Now: when another group is in trouble this one is not asked again.
            for message in rescued.unread:
                self._pass_on(worker, message)
            # Also who was beside an overrun runs again, and may wonder why.
            is_news = charged or killed or overrun is not None
            _tell(rescued, f"A worker process ended ({reason})", is_news=is_news)

        self._in_each_group(rescue_in)

    def hand_back(self, client: Client, worker: str, codes: Sequence[int]) -> None:
        """A child is stuck in a job: return what waits behind it, in order."""

        def hand_back_in(post: Post) -> None:
            tokens = [
                token
                for code in codes
                if group_of(code) == post.number
                for token in tokens_of(code, worker)
            ]
            if tokens:
                perform(client, hand_back(post.keys, worker, tokens))

        self._in_each_group(hand_back_in)

    def _in_each_group(self, act: Callable[[Post], None]) -> None:
        trouble: redis.RedisError | OSError | None = None
        for post in self._posts:
            self._breathe()
            try:
                if post in self.away:
                    raise self.away[post]
                act(post)
            except TROUBLE as error:
                trouble = error
        if trouble is not None:
            raise trouble

    def rescue_vanished(
        self, client: Client, post: Post, workers: Sequence[str]
    ) -> None:
        """Bring back what dead ones among these workers held, if they are of this
        machine and nobody looks after them. What was said to them is said to nobody.
        """
        for worker, info in self._infos_of(client, post, workers).items():
            if not is_left_alone(info):
                continue
            where = f"process {info.get('pid')} on {info.get('host')}"
            rescued = self._rescue(
                client,
                post.keys,
                worker,
                running=None,
                reason=f"{where} vanished",
                charged=True,
            )
            _tell(rescued, f"The worker {where} had vanished", is_news=True)

    def _infos_of(
        self, client: Client, post: Post, workers: Sequence[str]
    ) -> Mapping[str, Mapping[str, str]]:
        """What they registered. It never changes, so each is asked for once."""
        known = self._infos.get(post, {})
        new = [worker for worker in workers if worker not in known]
        if new:
            known = {
                **known,
                **perform(client, staff.worker_infos(post.keys, new)),
            }
        self._infos[post] = {
            worker: known[worker] for worker in workers if worker in known
        }
        return self._infos[post]

    def _rescue(
        self,
        client: Client,
        keys: GroupKeys,
        worker: str,
        *,
        running: Mapping[str, Remains] | None,
        reason: str,
        charged: bool,
        killed: bool = False,
        beside: int = 0,
    ) -> Rescued:
        conversation = rescue(
            keys,
            worker,
            running=running,
            reason=reason,
            max_crashes=self._max_crashes,
            keep=self._keep,
            charged=charged,
            killed=killed,
            beside=beside,
        )
        return perform(client, conversation)

    def _settle_overrun(
        self,
        client: Client,
        keys: GroupKeys,
        worker: str,
        overrun: Overrun,
        left: Remains,
    ) -> None:
        record = perform(client, lookup.job(keys, overrun.job_id))
        if record is None or record.status is not JobStatus.RUNNING:
            return
        ended = self._overrun_settlement(record, worker, overrun, left)
        perform(
            client,
            settle_for(
                keys, worker, [ended], keep=self._keep, max_crashes=self._max_crashes
            ),
        )

    def _overrun_settlement(
        self, record: JobRecord, worker: str, overrun: Overrun, left: Remains
    ) -> Settlement:
        job = _claimed(record, token_of(overrun.code, worker))
        plan = self._plan(job)
        name = plan.name if plan else ""
        verdict = judge(
            JobTimeout(),
            retries_made=job.attempts,
            retry=plan.retry if plan else Retry(max=0),
            rng=self._rng,
            interrupted=overrun.reason,
        )
        what = _what(overrun, plan)
        ended = settlement(
            verdict,
            job,
            name,
            what,
            started_ms=record.started_ms,
            finished_ms=record.started_ms + round(overrun.seconds * 1000),
            logs=log_lines(json.loads(left.logs)) if left.logs else (),
        )
        ended.meta, ended.progress = record.meta, record.progress
        self._log.ended(job, name, verdict, what, plan.retry.max if plan else 0)
        return ended

    def _plan(self, job: Claimed) -> Plan | None:
        try:
            return self._plans.of(parse_body(job.body), job.queue, import_seconds())
        except RedisJobsError:
            return None


def _what(overrun: Overrun, plan: Plan | None) -> Description:
    name = f"{JobTimeout.__module__}.{JobTimeout.__qualname__}"
    if overrun.reason == CANCEL:
        text = "cancelled; it ignored the interrupt, so its process was killed"
    else:
        limit = f" of {plan.timeout:g} s" if plan and plan.timeout else ""
        text = (
            f"it ran longer than its timeout{limit} and ignored the interrupt, so its "
            "process was killed"
        )
    return Description(name, text, "")


def _claimed(record: JobRecord, token: str) -> Claimed:
    return Claimed(
        record.id,
        token,
        record.queue,
        record.priority,
        record.body,
        record.enqueued_ms,
        record.due_ms,
        record.run,
        record.attempts_made,
        record.crashes,
        False,
        record.meta,
        record.started_ms,
        record.ready_ms,
    )


def _tell(rescued: Rescued, what: str, *, is_news: bool) -> None:
    if rescued.ended:
        logger.error(
            "✗ %s for the last time that a job may do this; failed as crashed: %s",
            what,
            listed(rescued.ended),
        )
    if rescued.returned and is_news:
        logger.warning("↩ %s; back in their queues: %s", what, listed(rescued.returned))
