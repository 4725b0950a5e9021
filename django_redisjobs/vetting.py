"""Whether this build would run a stored job, told without running it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, Final

from django_redisjobs import conf, registry
from django_redisjobs.core.exceptions import in_words
from django_redisjobs.core.payload import Callback, parse_body
from django_redisjobs.core.records import JobRecord
from django_redisjobs.definitions import JobFunction
from django_redisjobs.exceptions import ConfigurationError, RedisJobsError
from django_redisjobs.serialization import vetting_codec

_CALLBACKS: Final = ("on_success", "on_failure")


def vet(record: JobRecord, within: float = inf) -> JobFunction[..., Any]:
    """The function of a job that a worker of this build and these settings would run.
    ``within`` is that of ``registry.resolve``.

    Raises what a worker would say: RedisJobsError, TypeError or ValueError, or whatever
    the project's own code raises.
    """
    body = parse_body(record.body)
    signatures = conf.get_settings().signatures
    if signatures is not None:
        signatures.check(record.id, record.body)
    function = registry.resolve(body.function, within)
    function.check_arguments(body.args, body.kwargs)
    function.policy(record.queue, body.options)
    # Whether there are the models that they refer to; rows are not asked for.
    body.decoded(vetting_codec)
    return function


def obstacle(record: JobRecord, within: float = inf) -> str:
    """Why a worker would not run this job; empty when it would."""
    return _refusal(partial(vet, record, within))


def callback_obstacles(record: JobRecord) -> list[str]:
    """Why the callbacks of a job that can run could not. The job itself does not wait
    for them: they are jobs of their own, made when it ends.
    """
    options = parse_body(record.body).options
    found = []
    for name in _CALLBACKS:
        if name in options:
            reason = _refusal(partial(_vet_callback, record, options[name]))
            if reason:
                found.append(f"its {name}: {reason}")
    return found


def _vet_callback(record: JobRecord, stored: list[Any]) -> None:
    callback = Callback(*stored)
    function = registry.resolve(callback.path)
    function.check_arguments([record.id], {})
    queue = callback.queue or record.queue
    function.policy(queue, {})
    if conf.keys_for(queue) != (keys := conf.keys_for(record.queue)):
        raise ConfigurationError(
            f"it would wait in queue {queue!r} of group {keys.group!r}, where its job is "
            "and no worker looks for it."
        )


def _refusal(check: Callable[[], object]) -> str:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - some of it is anybody's code
        told = isinstance(error, RedisJobsError | TypeError | ValueError)
        # One that says nothing is an obstacle all the same.
        return (told and str(error)) or in_words(error)
    return ""
