"""Background jobs for Django on Redis or Valkey.

The public names are loaded when they are first asked for, so that importing this
package needs neither Django nor its settings, and a web process never loads the
worker.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django_redisjobs.versions import installed_version

if TYPE_CHECKING:
    from django_redisjobs import exceptions, signals, testing
    from django_redisjobs.connections import get_connection
    from django_redisjobs.context import JobContext, current_job
    from django_redisjobs.core.records import JobStatus, QueueCounts
    from django_redisjobs.decorators import job
    from django_redisjobs.definitions import JobFunction
    from django_redisjobs.handles import JobHandle, get_job
    from django_redisjobs.queries import JobQuery, Tally, jobs
    from django_redisjobs.queues import Queue, enqueue, get_queue
    from django_redisjobs.retries import Retry
    from django_redisjobs.snapshots import AttemptInfo, JobInfo
    from django_redisjobs.worker import Worker

    __version__: str

__all__ = [
    "AttemptInfo",
    "JobContext",
    "JobFunction",
    "JobHandle",
    "JobInfo",
    "JobQuery",
    "JobStatus",
    "Queue",
    "QueueCounts",
    "Retry",
    "Tally",
    "Worker",
    "__version__",
    "current_job",
    "enqueue",
    "exceptions",
    "get_connection",
    "get_job",
    "get_queue",
    "job",
    "jobs",
    "signals",
    "testing",
]

# Where each name lives; None: it is a module of its own.
_HOMES = {
    "AttemptInfo": "snapshots",
    "JobContext": "context",
    "JobFunction": "definitions",
    "JobHandle": "handles",
    "JobInfo": "snapshots",
    "JobQuery": "queries",
    "JobStatus": "core.records",
    "Queue": "queues",
    "QueueCounts": "core.records",
    "Retry": "retries",
    "Tally": "queries",
    "Worker": "worker",
    "current_job": "context",
    "enqueue": "queues",
    "exceptions": None,
    "get_connection": "connections",
    "get_job": "handles",
    "get_queue": "queues",
    "job": "decorators",
    "jobs": "queries",
    "signals": None,
    "testing": None,
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = installed_version()
    elif name in _HOMES:
        home = _HOMES[name]
        module = import_module(f"{__name__}.{home or name}")
        value = getattr(module, name) if home else module
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The next access finds it without coming here.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
