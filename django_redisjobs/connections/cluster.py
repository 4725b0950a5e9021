"""Clients of a Cluster: each command goes to the node that serves its key.

Not redis-py's own, for one reason: a pipeline of that one sends again whatever got
no answer, whether it ran or not. Here only those answers are followed that prove
that nothing ran: a redirection (MOVED, ASK), or that the slot is just being moved
or not served (TRYAGAIN, CLUSTERDOWN), for a moment. All other errors pass.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Self

import redis
import redis.asyncio
from redis.exceptions import ClusterDownError

from django_redisjobs.conf.addresses import Host

from .routing import Route, Slots, check_waits, raise_first, slot_of, slots_of

# Opens a plain client of one node; Any, since redis-py's calls have no types.
Opener = Callable[[Host], Any]

_LOOK_UP = ("CLUSTER", "SLOTS")


class ClusterClient(redis.Redis):
    """As a client of one server, for commands whose keys are in one slot.

    ``SCAN`` and ``KEYS`` want a pattern with the hash tag. Transactions, and
    commands about all the nodes together, are not for it. Safe in threads.
    """

    def __init__(self, seeds: Sequence[Host], open_: Opener, scout: Opener) -> None:
        first = open_(seeds[0])
        super().__init__(connection_pool=first.connection_pool)
        self._slots = Slots(seeds)
        self._open = open_
        self._scout = scout
        self._nodes: dict[Host, redis.Redis] = {seeds[0]: first}
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._failed = _Failed()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return self._send(slot_of(args), args, options)

    def pipeline(self, *_: Any, **__: Any) -> Any:
        """Commands of one slot go in one round trip. It is never a transaction."""
        return ClusterPipeline(self)

    def node_of(self, key: str) -> redis.Redis:
        """A plain client of the node that serves ``key``, as far as is known.

        Where that one answers with a redirection or not at all, ``forget_slots``
        has the next call find out anew.
        """
        return self.client_for(("GET", key))

    def client_for(self, command: Sequence[Any]) -> redis.Redis:
        """``node_of`` the keys of a command."""
        slot = slot_of(command)
        host = self._slots.owner(slot) or self._look_up(slot)
        return self._node(host)

    def forget_slots(self) -> None:
        """Ask anew who serves what, with the next command."""
        self._slots.forget()

    def close(self) -> None:
        for node in list(self._nodes.values()):
            node.close()

    def send_batch(self, slot: int | None, commands: Sequence[Any]) -> list[Any]:
        """Replies, or errors in their places. One round trip, unless redirected."""
        host = self._slots.owner(slot) or self._look_up(slot)
        try:
            node: Any = self._node(host)
            with node.pipeline(transaction=False) as pipeline:
                for args, options in commands:
                    pipeline.execute_command(*args, **options)
                replies: list[Any] = pipeline.execute(raise_on_error=False)
        except redis.RedisError as error:
            self._slots.doubt(host, error)
            raise
        undone = list(Route.undone(replies))
        for index in undone:
            args, options = commands[index]
            try:
                replies[index] = self._send(slot, args, options)
            except redis.ResponseError as error:
                replies[index] = error
        check_waits(commands, undone)
        return replies

    def _send(self, slot: int | None, args: Any, options: Any) -> Any:
        route = Route(self._slots, slot)
        while True:
            host = route.next() or self._look_up(slot)
            node: Any = self._node(host)
            try:
                if route.asking:
                    return _asking(node, args, options)
                return node.execute_command(*args, **options)
            except redis.RedisError as error:
                # Raises what is not proof that nothing ran.
                pause = route.after(error, host)
            if pause:
                threading.Event().wait(pause)

    def _look_up(self, slot: int | None) -> Host:
        began = monotonic()
        with self._looking:
            if found := self._slots.owner(slot):
                return found
            self._failed.check(began)
            failure: redis.RedisError = _unserved()
            for host in self._slots.to_ask():
                try:
                    with self._scout(host) as scout:
                        reply = scout.execute_command(*_LOOK_UP)
                except redis.RedisError as error:
                    failure = error
                    continue
                if owner := self._slots.learn(reply, host, slot):
                    return owner
                failure = _unserved()
            self._failed.note(failure)
        raise failure

    def _node(self, host: Host) -> redis.Redis:
        if found := self._nodes.get(host):
            return found
        opened = self._open(host)
        with self._lock:
            return self._nodes.setdefault(host, opened)


class ClusterPipeline:
    """Collects commands, and sends those of each slot together."""

    def __init__(self, cluster: ClusterClient) -> None:
        self._cluster = cluster
        self._commands: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._commands.clear()

    def execute_command(self, *args: Any, **options: Any) -> ClusterPipeline:
        self._commands.append((args, options))
        return self

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands, self._commands = self._commands, []
        replies: list[Any] = [None] * len(commands)
        for slot, indexes in slots_of(commands).items():
            batch = [commands[index] for index in indexes]
            answers = self._cluster.send_batch(slot, batch)
            for index, reply in zip(indexes, answers, strict=True):
                replies[index] = reply
        return raise_first(replies) if raise_on_error else replies


class AsyncClusterClient(redis.asyncio.Redis):
    """``ClusterClient`` for the tasks of one event loop."""

    def __init__(self, seeds: Sequence[Host], open_: Opener, scout: Opener) -> None:
        first = open_(seeds[0])
        super().__init__(connection_pool=first.connection_pool)
        self._slots = Slots(seeds)
        self._open = open_
        self._scout = scout
        self._nodes: dict[Host, redis.asyncio.Redis] = {seeds[0]: first}
        self._looking = asyncio.Lock()
        self._failed = _Failed()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        return await self._send(slot_of(args), args, options)

    def pipeline(self, *_: Any, **__: Any) -> Any:
        return AsyncClusterPipeline(self)

    def forget_slots(self) -> None:
        self._slots.forget()

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        for node in list(self._nodes.values()):
            await node.aclose()

    async def send_batch(self, slot: int | None, commands: Sequence[Any]) -> list[Any]:
        host = self._slots.owner(slot) or await self._look_up(slot)
        try:
            async with self._node(host).pipeline(transaction=False) as pipeline:
                for args, options in commands:
                    pipeline.execute_command(*args, **options)
                replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except redis.RedisError as error:
            self._slots.doubt(host, error)
            raise
        undone = list(Route.undone(replies))
        for index in undone:
            args, options = commands[index]
            try:
                replies[index] = await self._send(slot, args, options)
            except redis.ResponseError as error:
                replies[index] = error
        check_waits(commands, undone)
        return replies

    async def _send(self, slot: int | None, args: Any, options: Any) -> Any:
        route = Route(self._slots, slot)
        while True:
            host = route.next() or await self._look_up(slot)
            node: Any = self._node(host)
            try:
                if route.asking:
                    return await _aasking(node, args, options)
                return await node.execute_command(*args, **options)
            except redis.RedisError as error:
                pause = route.after(error, host)
            if pause:
                await asyncio.sleep(pause)

    async def _look_up(self, slot: int | None) -> Host:
        began = monotonic()
        async with self._looking:
            if found := self._slots.owner(slot):
                return found
            self._failed.check(began)
            failure: redis.RedisError = _unserved()
            for host in self._slots.to_ask():
                try:
                    async with self._scout(host) as scout:
                        reply = await scout.execute_command(*_LOOK_UP)
                except redis.RedisError as error:
                    failure = error
                    continue
                if owner := self._slots.learn(reply, host, slot):
                    return owner
                failure = _unserved()
            self._failed.note(failure)
        raise failure

    def _node(self, host: Host) -> redis.asyncio.Redis:
        if host not in self._nodes:
            self._nodes[host] = self._open(host)
        return self._nodes[host]


class AsyncClusterPipeline:
    """``ClusterPipeline`` for the tasks of one event loop."""

    def __init__(self, cluster: AsyncClusterClient) -> None:
        self._cluster = cluster
        self._commands: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._commands.clear()

    def execute_command(self, *args: Any, **options: Any) -> AsyncClusterPipeline:
        self._commands.append((args, options))
        return self

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands, self._commands = self._commands, []
        replies: list[Any] = [None] * len(commands)
        for slot, indexes in slots_of(commands).items():
            batch = [commands[index] for index in indexes]
            answers = await self._cluster.send_batch(slot, batch)
            for index, reply in zip(indexes, answers, strict=True):
                replies[index] = reply
        return raise_first(replies) if raise_on_error else replies


def _asking(node: Any, args: Any, options: Any) -> Any:
    with node.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("ASKING")
        pipeline.execute_command(*args, **options)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
    return raise_first(replies)[1]


async def _aasking(node: Any, args: Any, options: Any) -> Any:
    async with node.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("ASKING")
        pipeline.execute_command(*args, **options)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
    return raise_first(replies)[1]


class _Failed:
    """The last look-up that came to nothing: for who waited meanwhile it has, too. Each
    for himself would ask all nodes again, which takes seconds where none answers.
    """

    def __init__(self) -> None:
        self._at = 0.0
        self._error: redis.RedisError | None = None

    def check(self, began: float) -> None:
        """Raise its error if it ended after ``began`` (monotonic)."""
        if self._error is not None and self._at >= began:
            raise self._error

    def note(self, error: redis.RedisError) -> None:
        self._at, self._error = monotonic(), error


def _unserved() -> ClusterDownError:
    return ClusterDownError("CLUSTERDOWN no node of the cluster serves this slot")
