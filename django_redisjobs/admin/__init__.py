"""Queues, jobs and workers in Django's admin.

``REDISJOBS["ADMIN"] = False`` leaves them out; a project that wants its own classes
then registers subclasses of these.
"""

from __future__ import annotations

from django.apps import apps

from django_redisjobs.conf import get_settings
from django_redisjobs.exceptions import ConfigurationError


def _is_wanted() -> bool:
    if not apps.is_installed("django.contrib.admin"):
        return False
    try:
        return get_settings().admin
    except ConfigurationError:
        # For the system checks to tell, which run only where every app could be
        # loaded.
        return False


if _is_wanted():
    # Not at the top: Django's admin needs its own tables' models to be installed, and
    # the query sets beside this file are of use without it.
    from django.contrib import admin

    from django_redisjobs.admin.jobs import JobAdmin
    from django_redisjobs.admin.queues import QueueAdmin
    from django_redisjobs.admin.workers import WorkerAdmin
    from django_redisjobs.models import Job, Queue, Worker

    admin.site.register(Queue, QueueAdmin)
    admin.site.register(Job, JobAdmin)
    admin.site.register(Worker, WorkerAdmin)
