"""A way to the server as long as a network's: ``proxy.py PORT SERVER_PORT SECONDS``.

Each answer comes SECONDS later than the server gave it; none waits for another.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from functools import partial

CHUNK = 1 << 20


async def pass_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, seconds: float
) -> None:
    later = asyncio.get_running_loop().call_later
    try:
        while data := await source.read(CHUNK):
            if seconds:
                later(seconds, target.write, data)
            else:
                target.write(data)
    except ConnectionError:
        pass
    later(seconds, target.close)


async def meet(
    port: int,
    seconds: float,
    asked: asyncio.StreamReader,
    answer: asyncio.StreamWriter,
) -> None:
    answered, ask = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(pass_on(asked, ask, 0), pass_on(answered, answer, seconds))


async def serve(port: str, server_port: str, seconds: str) -> None:
    handle = partial(meet, int(server_port), float(seconds))
    async with await asyncio.start_server(handle, "127.0.0.1", int(port)) as server:
        await server.serve_forever()


def exact_loop() -> asyncio.AbstractEventLoop:
    """epoll, the usual one, wakes at whole milliseconds only."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=exact_loop) as runner:
        runner.run(serve(*sys.argv[1:]))
