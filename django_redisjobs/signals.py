"""Django signals about jobs and workers.

``sender`` is the name of the job function (for workers: of the worker). Receivers
run in the process where it happened; one that fails is logged and hurts nobody.
"""

from __future__ import annotations

from django.dispatch import Signal

# Sent after Redis has accepted the job.
job_enqueued = Signal()
# Sent in the worker, just before the function is called.
job_started = Signal()
# Sent in the worker when an attempt has ended, before that is written to Redis.
job_succeeded = Signal()
job_failed = Signal()
job_retried = Signal()
job_cancelled = Signal()
# Sent by each worker process: ready to claim, and done.
worker_started = Signal()
worker_stopped = Signal()
