"""Subscribers, issues, and who got which."""

from __future__ import annotations

from django.db import models


class Subscriber(models.Model):
    """Somebody who reads the newsletter, or used to."""

    name = models.CharField(max_length=100)
    email = models.EmailField(unique=True)
    active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name


class Issue(models.Model):
    """One newsletter."""

    subject = models.CharField(max_length=150)
    body = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.subject


class Delivery(models.Model):
    """That an issue went to a subscriber: a job that runs again sends no second mail."""

    issue = models.ForeignKey(Issue, on_delete=models.CASCADE)
    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE)
    sent_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["issue", "subscriber"], name="one_each")
        ]

    def __str__(self) -> str:
        return f"{self.issue} to {self.subscriber}"
