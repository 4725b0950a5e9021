"""What people may send to the shop."""

from __future__ import annotations

from django import forms

from shop.models import Order, Product

CARDS = [
    ("4242", "a good card"),
    ("5105", "a card whose bank is busy twice"),
    ("4000", "a card that is refused"),
    ("3714", "a card whose bank never answers"),
]


class OrderForm(forms.ModelForm):
    """An order."""

    card = forms.ChoiceField(choices=CARDS)
    product = forms.ModelChoiceField(
        queryset=Product.objects.filter(sku__startswith="first-").order_by("pk"),
        empty_label=None,
    )

    class Meta:
        model = Order
        fields = ["customer", "email", "product", "quantity", "card"]


class ReminderForm(forms.Form):
    """When to remind."""

    seconds = forms.FloatField(min_value=0, max_value=3600, initial=5)


class PictureForm(forms.Form):
    """A picture to upload; without one the shop draws a landscape."""

    file = forms.ImageField(required=False)


class CatalogueForm(forms.Form):
    """A CSV file to import; without one the shop makes one up."""

    file = forms.FileField(required=False)


class EventsForm(forms.Form):
    """How many lines of the event log to write."""

    count = forms.IntegerField(min_value=1, max_value=5000, initial=500)
