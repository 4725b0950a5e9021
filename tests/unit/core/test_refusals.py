"""What servers say when they refuse, as redis-py hands it on."""

from __future__ import annotations

import pytest
from redis.exceptions import (
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from django_redisjobs.core.refusals import is_of_replica, said

REDIS_5 = ResponseError(
    "Error running script (call to f_0c1d): @user_script:23: @user_script: 23: "
    "-READONLY You can't write against a read only replica."
)
FULL_5 = ResponseError(
    "Error running script (call to f_0c1d): @user_script:23: @user_script: 23: "
    "-OOM command not allowed when used memory > 'maxmemory'."
)


@pytest.mark.parametrize(
    "reply",
    [
        ReadOnlyError("You can't write against a read only replica."),
        ReadOnlyError("You can't write against a read only replica. script: 0c1d"),
        ResponseError("READONLY You can't write against a read only replica."),
        REDIS_5,
        ResponseError(
            "UNBLOCKED force unblock from blocking operation, instance state changed "
            "(master -> replica?)"
        ),
    ],
)
def test_a_replica_is_known(reply: object) -> None:
    assert is_of_replica(reply)


@pytest.mark.parametrize(
    "reply",
    [
        b"READONLY ",
        None,
        FULL_5,
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        # Of a replica that may serve again in a moment.
        MasterDownError("Link with MASTER is down"),
        ResponseError("UNBLOCKED client unblocked via CLIENT UNBLOCK"),
        ResponseError("Error running script: no READONLY of a server"),
    ],
)
def test_others_are_none(reply: object) -> None:
    assert not is_of_replica(reply)


def test_a_script_repeats_what_its_command_was_answered() -> None:
    assert said(FULL_5) == "OOM command not allowed when used memory > 'maxmemory'."
    assert said(ReadOnlyError(" no ")) == "no"
