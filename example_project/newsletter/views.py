"""Pages of the newsletter."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.db import transaction
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from newsletter.jobs import send_issue
from newsletter.models import Issue, Subscriber
from shop.models import Activity


class IssueForm(forms.ModelForm):
    """An issue to be sent."""

    class Meta:
        model = Issue
        fields = ["subject", "body"]
        widgets = {"body": forms.Textarea(attrs={"rows": 4})}


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The form for the next issue, and what became of earlier ones."""
    issues = Issue.objects.annotate(sent=Count("delivery")).order_by("-pk")[:10]
    return render(
        request,
        "newsletter/home.html",
        {
            "form": IssueForm(
                initial={
                    "subject": "New paper has arrived",
                    "body": "Three shades of cream, and it takes fountain pens well.",
                }
            ),
            "issues": issues,
            "readers": Subscriber.objects.filter(active=True).count(),
        },
    )


@require_POST
@transaction.atomic
def send(request: HttpRequest) -> HttpResponse:
    """Keep an issue and have it sent; rolled back, nothing goes out."""
    form = IssueForm(request.POST)
    if not form.is_valid():
        return render(request, "shop/refused.html", {"form": form}, status=400)
    issue = form.save()
    handle = send_issue.delay(issue.pk)
    Activity.objects.create(title=f"Issue {issue.subject!r}", job_ids=[handle.id])
    messages.success(request, f"{issue.subject!r} is on its way.")
    return redirect("newsletter:home")
