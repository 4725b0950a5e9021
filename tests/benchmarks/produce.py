"""Enqueue: ``produce.py ADAPTER[,ADAPTER...] OPERATION FIRST COUNT [DUE]``.

Prints as JSON how many seconds each adapter took for its COUNT jobs. Several adapters
take turns, so that a busy moment of the machine meets all of them.

OPERATION: ``one`` (one call a job), ``bulk`` and ``transaction`` (1,000 a call),
``sleep``, ``mixed``, ``lat`` (one every 20 ms), ``delayed`` (all due at DUE).
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

EVERY_SECONDS = 0.02
TURN = 200
CHUNK = 1_000

Ids = Sequence[int]
loop = asyncio.new_event_loop()


def finish(value: Any) -> None:
    """Some peers enqueue in coroutines."""
    if inspect.isawaitable(value):

        async def wait() -> None:
            await value

        loop.run_until_complete(wait())


def pieces(ids: Ids, size: int) -> Iterator[Ids]:
    for first in range(0, len(ids), size):
        yield ids[first : first + size]


def take_turns(
    functions: Sequence[Callable[[Ids], Any]], ids: Ids, size: int
) -> list[float]:
    """Their seconds for all ids, of which the first piece, with what happens only
    once, is as long as the others are.
    """
    seconds = [0.0] * len(functions)
    warm = size if len(ids) > size else 0
    for piece in pieces(ids, size):
        for place, function in enumerate(functions):
            began = time.perf_counter()
            finish(function(piece))
            if piece[0] >= ids[warm]:
                seconds[place] += time.perf_counter() - began
    return [each * len(ids) / (len(ids) - warm) for each in seconds]


def lat(module: Any, ids: Ids) -> None:
    at = time.perf_counter()
    for i in ids:
        time.sleep(max(0.0, at - time.perf_counter()))
        finish(module.enqueue_lat(i, time.time()))
        at += EVERY_SECONDS


def main(
    names: str, operation: str, first: str, count: str, due: str = "0"
) -> list[float]:
    modules = [importlib.import_module(f"adapters.{name}") for name in names.split(",")]
    for module in modules:
        if hasattr(module, "prepare"):
            finish(module.prepare())
    ids = range(int(first), int(first) + int(count))
    began = time.perf_counter()
    if operation == "one":
        return take_turns([each.enqueue for each in modules], ids, TURN)
    (module,) = modules
    if operation in ("bulk", "transaction", "sleep"):
        return take_turns([getattr(module, f"enqueue_{operation}")], ids, CHUNK)
    if operation == "lat":
        lat(module, ids)
    elif operation == "delayed":
        finish(module.enqueue_delayed(ids, float(due)))
    else:
        module.enqueue_mixed(ids)
    return [time.perf_counter() - began]


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
