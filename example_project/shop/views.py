"""The shop's pages. Views that start jobs do it inside a transaction.

``delay`` gives the job's id at once and sends the job when the transaction commits:
what is rolled back starts nothing.
"""

from __future__ import annotations

import uuid
from datetime import timedelta

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.files.base import ContentFile
from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from shop import catalogue, jobs, mailbox, pictures, states
from shop.forms import (
    CatalogueForm,
    EventsForm,
    OrderForm,
    PictureForm,
    ReminderForm,
)
from shop.models import Activity, CatalogueImport, Order, Picture


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Everything that one can start, and what has been started."""
    return render(
        request,
        "shop/home.html",
        {
            "order_form": OrderForm(
                initial={"customer": "Ada", "email": "ada@example.com"}
            ),
            "events_form": EventsForm(),
            "orders": Order.objects.select_related("product").order_by("-pk")[:8],
            "pictures": Picture.objects.order_by("-pk")[:6],
            "imports": CatalogueImport.objects.order_by("-pk")[:3],
            "reports": sorted(settings.REPORT_DIR.glob("*.html"), reverse=True),
            "activity": states.recent(),
        },
    )


@require_GET
def activity(request: HttpRequest) -> HttpResponse:
    """The list of what has been started, alone: the page asks for it now and then."""
    order_pk = request.GET.get("order", "")
    shown = states.recent(order_pk=int(order_pk) if order_pk.isdigit() else None)
    return render(request, "shop/activity.html", {"activity": shown})


@require_POST
@transaction.atomic
def place_order(request: HttpRequest) -> HttpResponse:
    """Take an order: confirm it, charge the card, ask for delivery quotes."""
    form = OrderForm(request.POST)
    if not form.is_valid():
        return refuse(request, form)
    order = form.save()
    payment = jobs.charge.delay(order.pk)
    order.payment_job = payment.id
    order.save()
    started = [
        payment.id,
        jobs.send_confirmation.delay(order).id,
        jobs.fetch_quotes.delay(order.pk).id,
    ]
    Activity.objects.create(
        title=f"Order {order.pk}: {order.quantity} x {order.product}",
        job_ids=started,
        order=order,
    )
    messages.success(request, f"Thank you, {order.customer}. Order {order.pk} is in.")
    return redirect("shop:order", pk=order.pk)


@require_GET
def order(request: HttpRequest, pk: int) -> HttpResponse:
    """An order and the jobs at work for it."""
    found = get_object_or_404(Order.objects.select_related("product"), pk=pk)
    return render(
        request,
        "shop/order.html",
        {
            "order": found,
            "quotes": found.quote_set.order_by("price"),
            "activity": states.recent(order_pk=pk),
            "reminder_form": ReminderForm(),
        },
    )


@require_POST
@transaction.atomic
def remind(request: HttpRequest, pk: int) -> HttpResponse:
    """Remind the customer, some seconds from now."""
    form = ReminderForm(request.POST)
    if not form.is_valid():
        return refuse(request, form)
    found = get_object_or_404(Order, pk=pk)
    delay = timedelta(seconds=form.cleaned_data["seconds"])
    handle = jobs.send_reminder.using(run_after=delay).delay(found)
    note(f"Reminder of order {pk}", [handle.id], order=found)
    messages.success(request, f"The reminder goes out in {delay.total_seconds():g} s.")
    return redirect("shop:order", pk=pk)


@require_POST
@transaction.atomic
def upload_picture(request: HttpRequest) -> HttpResponse:
    """Keep a picture and have its thumbnail made."""
    form = PictureForm(request.POST, request.FILES)
    if not form.is_valid():
        return refuse(request, form)
    upload = form.cleaned_data["file"]
    if upload is None:
        name, content = pictures.sample(Picture.objects.count())
        upload = ContentFile(content, name=name)
    picture = Picture.objects.create(title=upload.name, original=upload)
    note(f"Picture {picture.title}", [jobs.make_thumbnail.delay(picture.pk).id])
    return redirect("shop:home")


@require_POST
@transaction.atomic
def upload_catalogue(request: HttpRequest) -> HttpResponse:
    """Keep a CSV file and have it imported."""
    form = CatalogueForm(request.POST, request.FILES)
    if not form.is_valid():
        return refuse(request, form)
    file = form.cleaned_data["file"]
    if file is None:
        text = catalogue.sample(300, mark=uuid.uuid4().hex[:4], bad=(20, 21, 200))
        file = ContentFile(text.encode(), name="catalogue.csv")
    upload = CatalogueImport.objects.create(file=file)
    note(f"Import of {file.name}", [jobs.import_catalogue.delay(upload.pk).id])
    return redirect("shop:home")


@require_POST
@transaction.atomic
def start_report(request: HttpRequest) -> HttpResponse:
    """Have this month's report written."""
    month = timezone.localdate().replace(day=1)
    note(f"Report of {month:%B %Y}", [jobs.monthly_report.delay(month).id])
    return redirect("shop:home")


@require_GET
def report(request: HttpRequest, name: str) -> HttpResponse | FileResponse:
    """A report that has been written."""
    known = {path.name: path for path in settings.REPORT_DIR.glob("sales-*")}
    if name not in known:
        raise Http404
    return FileResponse(known[name].open("rb"))


@require_POST
@transaction.atomic
def log_events(request: HttpRequest) -> HttpResponse:
    """Write many lines of the event log, each by a job of its own."""
    form = EventsForm(request.POST)
    if not form.is_valid():
        return refuse(request, form)
    batch, now = uuid.uuid4().hex[:12], timezone.now()
    handles = jobs.record_event.delay_many(
        [
            {"key": f"{batch}-{number}", "kind": "page view", "at": now}
            for number in range(form.cleaned_data["count"])
        ]
    )
    note(f"{len(handles)} events ({batch})", [handle.id for handle in handles])
    return redirect("shop:home")


@require_POST
@transaction.atomic
def start_poster(request: HttpRequest) -> HttpResponse:
    """Start the job that takes its process with it."""
    name = f"poster-{uuid.uuid4().hex[:8]}"
    marks = settings.DATA_DIR / "posters" / name
    marks.parent.mkdir(exist_ok=True)
    note(f"Poster {name}", [jobs.render_poster.delay(str(marks)).id])
    return redirect("shop:home")


@require_GET
def mail(request: HttpRequest) -> HttpResponse:
    """The mail that arrived at the local mail server."""
    return render(request, "shop/mail.html", {"letters": mailbox.letters()[:100]})


def note(title: str, job_ids: list[str], order: Order | None = None) -> None:
    """Remember what was started, for the list on the page."""
    Activity.objects.create(title=title, job_ids=job_ids, order=order)


def refuse(request: HttpRequest, form: forms.BaseForm) -> HttpResponse:
    """Say what was wrong with a form."""
    return render(request, "shop/refused.html", {"form": form}, status=400)
