"""What is settled about a job before it runs: its function, its options, and those
that its envelope carries. Worked out once for a function and queue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias

from django_redisjobs import conf, registry
from django_redisjobs.core.payload import Body
from django_redisjobs.definitions import JobFunction
from django_redisjobs.retries import Retry


@dataclass(frozen=True, slots=True)
class Plan:
    """How one job runs.

    ``timeout`` in seconds, None for none; ``result_ttl_ms`` 0 stores no result;
    ``using``: the database of the transaction around it, None for none.
    """

    definition: JobFunction[..., Any]
    name: str
    function: Callable[..., Any]
    is_async: bool
    using: str | None
    timeout: float | None
    retry: Retry
    result_ttl_ms: int
    settle_each: bool
    discard_missing: bool
    language: str


Prepared: TypeAlias = tuple[Plan, Body]
"""All that is needed to run one job; the arguments may still have to be decoded."""


class Plans:
    """Finds plans; those of jobs that carry no options of their own are kept."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Plan] = {}
        # Names of coroutine functions that were met.
        self._coroutines: set[str] = set()

    def of(self, body: Body, queue: str, within: float = inf) -> Plan:
        """The plan of one job; ``within`` is that of ``registry.resolve``.

        Raises:
            UnknownJobFunction: this build has no such job function.
            PayloadMalformed: its options are nothing that this build knows.
        """
        plan = None if body.options else self._known.get((body.function, queue))
        if plan is None:
            plan = _plan(body, queue, within)
            if plan.is_async:
                self._coroutines.add(body.function)
            if not body.options:
                self._known[body.function, queue] = plan
        return plan

    def knows_coroutine(self, text: str) -> bool:
        """Whether a body is of a coroutine function that was met before. Decodes
        nothing: in doubt it is not.
        """
        return text[:2] == '["' and text[2 : text.find('"', 2)] in self._coroutines


def _plan(body: Body, queue: str, within: float) -> Plan:
    definition = registry.resolve(body.function, within)
    options = definition.options
    policy = definition.policy(queue, body.options)
    return Plan(
        definition=definition,
        name=definition.path,
        function=definition.function,
        is_async=definition.is_async,
        using=definition.atomic_in(conf.get_settings()),
        timeout=policy.timeout,
        retry=policy.retry,
        result_ttl_ms=round(policy.result_ttl * 1000),
        settle_each=options.settle_each,
        discard_missing=options.on_missing == "discard",
        language=str(body.options.get("language", "")),
    )
