"""Django signals about jobs and workers.

``sender`` is the job function: ``@receiver(job_failed, sender=charge)``; None for a
job whose function is unknown, and for workers. Receivers run in the process where it
happened; one that fails is logged and hurts nobody. All take ``**kwargs``.
"""

from __future__ import annotations

from django.dispatch import Signal

# Sent where a job was enqueued, after Redis has accepted it: job_id, queue, handle.
job_enqueued = Signal()
# Sent in the worker: job_id, queue, attempt, run. First just before the function is
# called, then when the attempt has ended, before that is written to Redis.
job_started = Signal()
# With result.
job_succeeded = Signal()
# With exception. It failed for good,
job_failed = Signal()
# or will be tried again,
job_retried = Signal()
# or was interrupted: what is cancelled while it waits never came to a worker.
job_cancelled = Signal()
# Sent by each process of a worker, ready to claim, and done: worker (its name), queues.
worker_started = Signal()
worker_stopped = Signal()
