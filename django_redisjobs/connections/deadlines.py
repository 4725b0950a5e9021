"""Blocking that ends at a moment of this process's clock, to the millisecond.

Redis 5 blocks for whole seconds, and later servers end a block up to a tenth of a
second late. So the wait itself happens here; a connection whose answer nobody
waits for any more is closed, and with it the server's part of the wait ends.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import redis

from . import is_moved, is_within_process
from .cluster import ClusterClient


class DeadlineClient:
    """A client whose ``BLPOP`` of one list gives None at ``deadline`` (monotonic), if
    not before. All else goes to ``client`` as it is.
    """

    def __init__(self, client: redis.Redis, deadline: float) -> None:
        self._client = client
        self._deadline = deadline

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] != "BLPOP":
            client: Any = self._client
            return client.execute_command(*args, **options)
        left = self._deadline - monotonic()
        if left <= 0:
            return None
        if is_within_process():
            # It has no sockets, and is exact by itself.
            call: Any = self._client.execute_command
            return call(*args[:-1], min(args[-1], left), **options)
        return self._pop(args, left)

    def pipeline(self, transaction: bool = True) -> Any:
        return self._client.pipeline(transaction)

    def _pop(self, args: tuple[Any, ...], left: float) -> Any:
        client = self._client
        if not isinstance(client, ClusterClient):
            return _pop_at(client, args, left)
        try:
            return _pop_at(client.node_of(args[1]), args, left)
        except redis.ResponseError as error:
            # Who asks again is sent to the node that serves the slot by now.
            client.forget_slots()
            if not is_moved(error):
                raise
            return None


def _pop_at(node: Any, args: tuple[Any, ...], left: float) -> Any:
    with node.client() as single:
        connection = single.connection
        try:
            connection.send_command(*args)
            if connection.can_read(timeout=left):
                return connection.read_response()
        except redis.ResponseError:
            # An answer like any other: nothing more comes.
            raise
        except BaseException:
            connection.disconnect()
            raise
        connection.disconnect()
    return None
