"""How safe a job has to be before its enqueue returns, and whether it became so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Durability:
    """``disk``: written to the append-only file, there and on ``replicas`` replicas;
    without it they only have to have it in memory. Waited for ``timeout_ms`` at most.
    """

    disk: bool
    replicas: int
    timeout_ms: int

    @property
    def command(self) -> tuple[Any, ...]:
        """What waits for all writes before it on the same connection."""
        if self.disk:
            return ("WAITAOF", 1, self.replicas, self.timeout_ms)
        return ("WAIT", self.replicas, self.timeout_ms)

    def shortfall(self, reply: Any) -> str:
        """What was not reached, by the answer to ``command``; empty when all was."""
        if isinstance(reply, Exception):
            if self.disk and "unknown command" in str(reply).lower():
                return "this server has no WAITAOF (Redis 7.2 and newer have it)"
            return f"the server cannot tell: {reply}"
        on_disk, replicas = reply if self.disk else (1, reply)
        missing = []
        if on_disk < 1:
            missing.append("it is not on the server's disk")
        if replicas < self.replicas:
            missing.append(f"{replicas} of {self.replicas} replicas have it")
        if not missing:
            return ""
        return f"after {self.timeout_ms / 1000:g} s {' and '.join(missing)}"
