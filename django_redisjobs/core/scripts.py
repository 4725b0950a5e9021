"""Loads the Lua files, binds their arguments by name, and talks to Redis.

A file of ``lua/`` is one transition. Its header is executable: it declares KEYS,
ARGV and the words it replies with, and a call that names other arguments is a
TypeError. Files of ``lua/includes/`` are shared, one level deep; ``prelude`` is the
first of each.

What the core does is a *conversation*: a generator that yields lists of commands and
is sent the list of their replies. So the same code serves the synchronous and the
asynchronous client, and holds no connection. Only a worker's steps (``consumer``,
``flights``) are sent as they come: the next one may be under way before this one is read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Protocol, TypeVar

from redis.exceptions import NoScriptError, ResponseError

from .keys import GroupKeys
from .refusals import is_of_replica

T = TypeVar("T")
Command = tuple[Any, ...]
Conversation = Generator[list[Command], list[Any], T]


class Client(Protocol):
    """What the core needs of a synchronous redis-py client."""

    def execute_command(self, *args: Any, **options: Any) -> Any: ...

    def pipeline(self, transaction: bool = ...) -> Any: ...


class AsyncClient(Protocol):
    """What the core needs of an asynchronous redis-py client."""

    async def execute_command(self, *args: Any, **options: Any) -> Any: ...

    def pipeline(self, transaction: bool = ...) -> Any: ...


_FOLDER = resources.files(__name__.rpartition(".")[0]) / "lua"
_ARGUMENT = re.compile(r"^-- ARGV\[\d+(\.\.\.)?\] (\w+) ", re.MULTILINE)
_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)
_PRELUDE = "prelude"


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua file: its source with includes, and what its header declares."""

    name: str
    source: str
    sha: str
    arguments: tuple[str, ...]
    rest: str | None

    def bind(self, keys: GroupKeys, *rest: Any, **named: Any) -> Command:
        """The command that runs this script.

        Raises TypeError when the names are not those that the header declares.
        """
        if named.keys() != set(self.arguments) or (rest and self.rest is None):
            declared = [*self.arguments, *([f"*{self.rest}"] if self.rest else [])]
            raise TypeError(
                f"{self.name}.lua takes {', '.join(declared)}; "
                f"got {', '.join(named) or 'no names'} and {len(rest)} more."
            )
        values = [named[name] for name in self.arguments]
        return ("EVALSHA", self.sha, 2, keys.base, keys.schema, *values, *rest)


def _load(file: Traversable) -> Script:
    text = file.read_text(encoding="utf-8")

    def include(match: re.Match[str]) -> str:
        part = _FOLDER / "includes" / f"{match[1]}.lua"
        text = part.read_text(encoding="utf-8")
        # All else is a function within. Whatever a function captures of the one that makes
        # it, Lua looks for among all that was captured before; what is further out is had
        # at once. Sixty functions of a step capture the prelude's locals, so searching
        # was a sixth of the work of a step that has little to do.
        return text + "\nreturn (function()" if match[1] == _PRELUDE else text

    arguments: list[str] = []
    rest = None
    for dots, argument in _ARGUMENT.findall(text):
        if dots:
            rest = argument
        else:
            arguments.append(argument)
    # Comments and indentation are for readers of the file, not for the server.
    source = _INCLUDE.sub(include, text) + "\nend)()"
    lines = (line.strip() for line in source.splitlines())
    source = "\n".join(line for line in lines if line and not line.startswith("--"))
    return Script(
        file.name.removesuffix(".lua"),
        source,
        hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(),
        tuple(arguments),
        rest,
    )


_FILES = (file for file in _FOLDER.iterdir() if file.name.endswith(".lua"))
SCRIPTS = {script.name: script for script in map(_load, _FILES)}
_SOURCES = {script.sha: script.source for script in SCRIPTS.values()}


def with_source(command: Command) -> Command:
    """The call of a script with the script in it, for a server that lacks it."""
    # EVAL also caches it, on that very node.
    return ("EVAL", _SOURCES[command[1]], *command[2:])


class Tried(tuple[Any, ...]):
    """A command whose error is its reply: that it failed does not mean that what was
    sent along with it did.
    """

    __slots__ = ()


def _readable(reply: Any, command: Command) -> Any:
    """A reply; None in place of the error that a key is of another type.

    Somebody has overwritten that key. Scripts move it aside when they come by; until
    then it must not hide everything else from those who look. Raises other errors,
    but those of what was only tried, which it gives.
    """
    if not isinstance(reply, Exception) or isinstance(command, Tried):
        return reply
    if str(reply).startswith("WRONGTYPE") and command[0] != "EVALSHA":
        return None
    raise reply


def _refused(replies: Sequence[Any], commands: Sequence[Command]) -> list[int]:
    """Places of the commands that a replica refused; and of those that were tried along with
    them, which tell of the same connection. Where only these were refused, they stay so.
    """
    refused = {
        at
        for at, reply in enumerate(replies)
        if is_of_replica(reply) and not isinstance(commands[at], Tried)
    }
    if not refused:
        return []
    return [
        at
        for at, command in enumerate(commands)
        if at in refused or isinstance(command, Tried)
    ]


def send(
    client: Client, commands: Sequence[Command], *, once_more: bool = True
) -> list[Any]:
    """One round trip, and another one for what did not run. A script that the server does
    not know is sent whole. What a replica refused is sent ``once_more``, for clients that
    leave it then: a new connection may reach the primary.
    """
    if len(commands) == 1:
        command = commands[0]
        try:
            try:
                return [client.execute_command(*command)]
            except NoScriptError:
                return [client.execute_command(*with_source(command))]
        except ResponseError as error:
            if once_more and is_of_replica(error):
                return send(client, commands, once_more=False)
            return [_readable(error, command)]
    with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        replies = pipeline.execute(raise_on_error=False)
    if once_more and (places := _refused(replies, commands)):
        second = send(client, [commands[at] for at in places], once_more=False)
        for at, reply in zip(places, second, strict=True):
            replies[at] = reply
    return list(map(_readable, replies, commands))


def perform(client: Client, conversation: Conversation[T]) -> T:
    """Hold a conversation with a synchronous client. redis-py's errors pass through."""
    try:
        commands = next(conversation)
        while True:
            commands = conversation.send(send(client, commands))
    except StopIteration as stop:
        result: T = stop.value
        return result


async def asend(
    client: AsyncClient, commands: Sequence[Command], *, once_more: bool = True
) -> list[Any]:
    """``send`` for an asynchronous client."""
    if len(commands) == 1:
        command = commands[0]
        try:
            try:
                return [await client.execute_command(*command)]
            except NoScriptError:
                return [await client.execute_command(*with_source(command))]
        except ResponseError as error:
            if once_more and is_of_replica(error):
                return await asend(client, commands, once_more=False)
            return [_readable(error, command)]
    async with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        replies = await pipeline.execute(raise_on_error=False)
    if once_more and (places := _refused(replies, commands)):
        second = await asend(client, [commands[at] for at in places], once_more=False)
        for at, reply in zip(places, second, strict=True):
            replies[at] = reply
    return list(map(_readable, replies, commands))


async def aperform(client: AsyncClient, conversation: Conversation[T]) -> T:
    """``perform`` for an asynchronous client."""
    try:
        commands = next(conversation)
        while True:
            commands = conversation.send(await asend(client, commands))
    except StopIteration as stop:
        result: T = stop.value
        return result


def word(reply: Any) -> str:
    """A reply's word as text; what is no text is marked as such, never an error."""
    return reply.decode(errors="replace") if isinstance(reply, bytes) else str(reply)


def words(replies: Sequence[Any]) -> list[str]:
    return [word(reply) for reply in replies]


def pairs(reply: Any) -> dict[str, str]:
    """A hash's reply, in whichever form the client gives it."""
    if isinstance(reply, dict):
        items: Iterable[tuple[Any, Any]] = reply.items()
    else:
        items = zip((reply or ())[::2], (reply or ())[1::2], strict=True)
    return {word(name): word(value) for name, value in items}


def clock_ms(reply: Sequence[Any]) -> int:
    """What ``TIME`` says, in milliseconds."""
    seconds, microseconds = reply
    return int(seconds) * 1000 + int(microseconds) // 1000


def together(conversations: Sequence[Conversation[T]]) -> Conversation[list[T]]:
    """Hold several conversations at the same time, a round trip for all."""
    results: dict[int, T] = {}
    asking: dict[int, list[Command]] = {}
    replies: dict[int, list[Any] | None] = dict.fromkeys(range(len(conversations)))
    while replies:
        for index, reply in replies.items():
            try:
                # A fresh generator must be sent None.
                asking[index] = conversations[index].send(reply)  # type: ignore[arg-type]
            except StopIteration as stop:
                results[index] = stop.value
        if not asking:
            break
        answers = yield [command for part in asking.values() for command in part]
        replies, start = {}, 0
        for index, part in asking.items():
            replies[index] = answers[start : start + len(part)]
            start += len(part)
        asking = {}
    return [results[index] for index in range(len(conversations))]
