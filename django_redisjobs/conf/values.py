"""What REDISJOBS says, read and checked: frozen values, no access to Django."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django_redisjobs.core.durability import Durability
from django_redisjobs.core.records import KeepPolicy
from django_redisjobs.core.signatures import Signatures
from django_redisjobs.retries import Retry


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """One queue: its own values, or those of the whole where it has none.

    ``timeout`` and ``result_ttl`` are seconds; a timeout of None is none, a
    result_ttl of 0 stores no result. ``durable``: what an enqueue waits for, None for
    nothing.
    """

    name: str
    group: str
    timeout: float | None
    retry: Retry
    result_ttl: float
    outbox: bool
    durable: Durability | None

    @property
    def durable_ms(self) -> int:
        """How long an enqueue may wait for that."""
        return self.durable.timeout_ms if self.durable else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole of REDISJOBS. ``url`` is also set when ``cache`` named it.

    ``on_commit`` is whether ``delay`` waits for the commit, or the alias of the
    database whose commit it waits for. ``max_payload`` is in bytes. ``signatures``:
    None where there are no SIGNING_KEYS.
    """

    url: str
    cache: str | None
    options: Mapping[str, Any]
    prefix: str
    queues: Mapping[str, QueueSettings]
    on_commit: bool | str
    keep: KeepPolicy
    lease_ms: int
    max_crashes: int
    max_payload: int
    eager: bool
    autodiscover: tuple[str, ...]
    admin: bool
    log_lines: int
    stats_token: str | None
    outbox: bool
    redact: tuple[str, ...]
    signatures: Signatures | None
