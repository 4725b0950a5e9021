"""The app: its name, its label, its checks. Loading it does no I/O."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register
from django.utils.translation import gettext_lazy as _


class RedisJobsConfig(AppConfig):
    """Only registers checks: job modules are discovered by workers, and Redis is
    first asked by the first job.
    """

    name = "django_redisjobs"
    label = "redisjobs"
    verbose_name = _("Background jobs")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Here, not at the top: checks read settings, apps load before they are.
        from django_redisjobs import checks

        register(checks.check_settings)
        register(checks.check_job_functions)
        register(checks.check_all_job_functions, deploy=True)
        register(checks.check_outbox, deploy=True)
        register(checks.check_place, deploy=True)
        register(checks.check_server, deploy=True)
