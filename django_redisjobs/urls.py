"""``path("jobs/", include("django_redisjobs.urls"))`` gives programs ``jobs/stats.json``
and ``jobs/metrics``.
"""

from __future__ import annotations

from django.urls import path

from django_redisjobs import views

app_name = "redisjobs"
urlpatterns = [
    path("stats.json", views.stats, name="stats"),
    path("metrics", views.metrics, name="metrics"),
]
