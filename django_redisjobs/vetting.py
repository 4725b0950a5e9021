"""Whether this build would run a stored job, told without running it."""

from __future__ import annotations

from typing import Any

from django_redisjobs import conf, registry
from django_redisjobs.core.exceptions import in_words
from django_redisjobs.core.payload import parse_body
from django_redisjobs.core.records import JobRecord
from django_redisjobs.definitions import JobFunction
from django_redisjobs.exceptions import RedisJobsError
from django_redisjobs.serialization import vetting_codec


def vet(record: JobRecord) -> JobFunction[..., Any]:
    """The function of a job that a worker of this build and these settings would run.

    Raises what a worker would say: RedisJobsError, TypeError or ValueError, or whatever
    the project's own code raises.
    """
    body = parse_body(record.body)
    signatures = conf.get_settings().signatures
    if signatures is not None:
        signatures.check(record.id, record.body)
    function = registry.resolve(body.function)
    function.check_arguments(body.args, body.kwargs)
    function.policy(record.queue, body.options)
    # Whether there are the models that they refer to; rows are not asked for.
    body.decoded(vetting_codec)
    return function


def obstacle(record: JobRecord) -> str:
    """Why a worker would not run this job; empty when it would."""
    try:
        vet(record)
    except Exception as error:  # noqa: BLE001 - some of it is anybody's code
        told = isinstance(error, RedisJobsError | TypeError | ValueError)
        # One that says nothing is an obstacle all the same.
        return (told and str(error)) or in_words(error)
    return ""
