"""What a worker holds a job to: its own values, its function's, or its queue's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django_redisjobs import conf
from django_redisjobs.core.exceptions import PayloadMalformed
from django_redisjobs.options import Inherit, JobOptions
from django_redisjobs.retries import Retry

# Values of one call travel with the job; those of the definition do not, so that a
# new release changes them for jobs that wait already.
CARRIED: Final = frozenset({"timeout", "retry", "result_ttl"})


@dataclass(frozen=True, slots=True)
class Policy:
    """What a worker holds a job to. Seconds; a timeout of None is none."""

    timeout: float | None
    retry: Retry
    result_ttl: float


def of_queue(own: JobOptions, queue: str) -> Policy:
    """What the definition says, and the queue's settings where it says nothing."""
    settings = conf.get_queue_settings(queue)
    return Policy(
        settings.timeout if isinstance(own.timeout, Inherit) else own.timeout,
        settings.retry if isinstance(own.retry, Inherit) else own.retry,
        settings.result_ttl if isinstance(own.result_ttl, Inherit) else own.result_ttl,
    )


def with_carried(policy: Policy, carried: Mapping[str, Any]) -> Policy:
    """The same with what a job's envelope carries; raises PayloadMalformed."""
    timeout = carried.get("timeout", policy.timeout)
    result_ttl = carried.get("result_ttl", policy.result_ttl)
    for value in (timeout or 0, result_ttl):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise PayloadMalformed(f"A job carries {value!r} instead of seconds.")
    retry = policy.retry
    if "retry" in carried:
        retry = Retry.from_json(carried["retry"], like=policy.retry)
    return Policy(timeout, retry, result_ttl)
