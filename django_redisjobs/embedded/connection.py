"""redis-py connections that start the embedded server when they find none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from redis.asyncio.connection import (
    UnixDomainSocketConnection as AsyncUnixDomainSocketConnection,
)
from redis.connection import UnixDomainSocketConnection

from django_redisjobs.embedded.starting import ensure, socket_of


class EmbeddedConnection(UnixDomainSocketConnection):
    """Connects to the server of ``folder``, whoever has to start it.

    ``_connect`` is the one step that every redis-py takes for each new socket,
    also for one that replaces a lost one.
    """

    def __init__(self, *, folder: Path, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self.folder = folder

    def _connect(self) -> Any:
        self.path = socket_of(self.folder)
        try:
            return super()._connect()  # type: ignore[no-untyped-call]
        except OSError:
            self.path = ensure(self.folder)
            return super()._connect()  # type: ignore[no-untyped-call]


class AsyncEmbeddedConnection(AsyncUnixDomainSocketConnection):
    """The same for an event loop, which goes on while the server starts."""

    def __init__(self, *, folder: Path, **options: Any) -> None:
        super().__init__(**options)
        self.folder = folder

    async def _connect(self) -> Any:
        self.path = await asyncio.to_thread(socket_of, self.folder)
        try:
            return await super()._connect()  # type: ignore[no-untyped-call]
        except OSError:
            self.path = await asyncio.to_thread(ensure, self.folder)
            return await super()._connect()  # type: ignore[no-untyped-call]
