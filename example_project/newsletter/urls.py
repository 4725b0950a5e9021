"""Addresses of the newsletter."""

from __future__ import annotations

from django.urls import path

from newsletter import views

app_name = "newsletter"
urlpatterns = [
    path("", views.home, name="home"),
    path("send/", views.send, name="send"),
]
