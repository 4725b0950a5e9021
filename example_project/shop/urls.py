"""Addresses of the shop."""

from __future__ import annotations

from django.urls import path

from shop import views

app_name = "shop"
urlpatterns = [
    path("", views.home, name="home"),
    path("activity/", views.activity, name="activity"),
    path("orders/", views.place_order, name="place-order"),
    path("orders/<int:pk>/", views.order, name="order"),
    path("orders/<int:pk>/remind/", views.remind, name="remind"),
    path("pictures/", views.upload_picture, name="upload-picture"),
    path("imports/", views.upload_catalogue, name="upload-catalogue"),
    path("reports/", views.start_report, name="start-report"),
    path("reports/<str:name>", views.report, name="report"),
    path("events/", views.log_events, name="log-events"),
    path("posters/", views.start_poster, name="start-poster"),
    path("mail/", views.mail, name="mail"),
]
