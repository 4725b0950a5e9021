"""What did not run is sent again, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import pytest
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from django_redisjobs.core.scripts import SCRIPTS, Command, Tried, asend, send

SET, GET = ("SET", "a", 1), ("GET", "a")
MARK, WAIT = Tried(("SET", "b", 1)), Tried(("WAIT", 1, 100))
SCRIPT = ("EVALSHA", SCRIPTS["enqueue"].sha, 0)
WHOLE = ("EVAL", SCRIPTS["enqueue"].source, 0)
REPLICA = ReadOnlyError("You can't write against a read only replica.")
NO_SCRIPT = NoScriptError("No matching script.")


class Server:
    """Gives these replies, in turn; notes what it was sent, by round trip."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.sent: list[list[Command]] = []

    def execute_command(self, *command: Any) -> Any:
        (reply,) = self.answer([command])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def answer(self, commands: list[Command]) -> list[Any]:
        self.sent.append(commands)
        return [self.replies.pop(0) for _ in commands]

    def pipeline(self, transaction: bool = True) -> Pipeline:
        return Pipeline(self)


class Pipeline:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.commands: list[Command] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def execute_command(self, *command: Any) -> None:
        self.commands.append(command)

    def execute(self, *, raise_on_error: bool) -> list[Any]:
        return self.server.answer(self.commands)


class AsyncServer(Server):
    async def execute_command(self, *command: Any) -> Any:  # type: ignore[override]
        return super().execute_command(*command)

    def pipeline(self, transaction: bool = True) -> AsyncPipeline:  # type: ignore[override]
        return AsyncPipeline(self)


class AsyncPipeline(Pipeline):
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def execute(self, *, raise_on_error: bool) -> list[Any]:  # type: ignore[override]
        return super().execute(raise_on_error=raise_on_error)


Sent = tuple[list[Any], list[list[Command]]]


def sync(commands: list[Command], *replies: Any) -> Sent:
    server: Any = Server(*replies)
    return send(server, commands), server.sent


def on_a_loop(commands: list[Command], *replies: Any) -> Sent:
    server: Any = AsyncServer(*replies)
    return asyncio.run(asend(server, commands)), server.sent


both = pytest.mark.parametrize("sending", [sync, on_a_loop])


@both
@pytest.mark.parametrize(
    ("commands", "replies", "given", "again"),
    [
        ([SET], [REPLICA, b"OK"], [b"OK"], [[SET]]),
        # A primary that was a replica may lack the script, and the other way round.
        ([SCRIPT], [REPLICA, NO_SCRIPT, 1], [1], [[SCRIPT], [WHOLE]]),
        (
            [SCRIPT],
            [NO_SCRIPT, REPLICA, NO_SCRIPT, 1],
            [1],
            [[WHOLE], [SCRIPT], [WHOLE]],
        ),
        # What ran does not run again.
        ([SET, GET, SET], [1, b"a", REPLICA, 2], [1, b"a", 2], [[SET]]),
        # What waits knows only the writes of its own connection.
        (
            [SET, MARK, WAIT],
            [REPLICA, REPLICA, ResponseError("a replica"), 1, 2, 3],
            [1, 2, 3],
            [[SET, MARK, WAIT]],
        ),
        ([SET, MARK, WAIT], [1, REPLICA, 0], [1, REPLICA, 0], []),
    ],
)
def test_what_a_replica_refused_is_sent_once_more(
    sending: Callable[..., Sent],
    commands: list[Command],
    replies: list[Any],
    given: list[Any],
    again: list[list[Command]],
) -> None:
    assert sending(commands, *replies) == (given, [commands, *again])


@both
@pytest.mark.parametrize("commands", [[SET], [SET, SET]])
def test_a_replica_that_refuses_again_is_an_error(
    sending: Callable[..., Sent], commands: list[Command]
) -> None:
    with pytest.raises(ReadOnlyError):
        sending(commands, *[REPLICA] * 2 * len(commands))


@both
def test_a_script_that_meets_another_type_is_an_error_also_when_sent_whole(
    sending: Callable[..., Sent],
) -> None:
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        sending([SCRIPT], NO_SCRIPT, ResponseError("WRONGTYPE Operation against a key"))
