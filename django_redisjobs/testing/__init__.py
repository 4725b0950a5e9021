"""For the tests of projects that use this package.

``captured_jobs()`` collects jobs and sends nothing, so it needs no server;
``run_jobs()`` runs what is in Redis, or was captured, in the calling process, inside
an ordinary TestCase; ``memory_server()`` is a server for it within the process.
"""

from __future__ import annotations

from .capturing import CapturedJob, CapturedJobs, captured_jobs
from .outcomes import Outcome
from .running import arun_jobs, run_jobs
from .server import memory_server

__all__ = [
    "CapturedJob",
    "CapturedJobs",
    "Outcome",
    "arun_jobs",
    "captured_jobs",
    "memory_server",
    "run_jobs",
]
