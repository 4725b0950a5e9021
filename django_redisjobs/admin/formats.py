"""How times, numbers and values look on the pages. All of it is escaped."""

from __future__ import annotations

from datetime import datetime
from pprint import pformat
from typing import Final

from django.contrib.admin.utils import display_for_value
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_redisjobs.core.records import JobStatus
from django_redisjobs.models import Job

LONGEST: Final = 10_000
"""Characters of one value that a page shows."""
NOTHING: Final = "–"

_STATUS_NAMES = {
    **dict(Job.Status.choices),
    # How a run may end beside.
    "timeout": gettext_lazy("timeout"),
    "crashed": gettext_lazy("crashed"),
}


def status_name(status: JobStatus | str) -> str:
    """A status, or how a run ended, in the language of the page; as it is where it is
    neither.
    """
    return str(_STATUS_NAMES.get(str(status), status))


def badge(status: JobStatus | str) -> SafeString:
    """A status as a coloured word."""
    text = '<span class="rj-badge rj-{}">{}</span>'
    return format_html(text, status, status_name(status))


def when(moment: datetime | None) -> SafeString | str:
    """The time of day for today's moments, else the date too; all of it as title."""
    if moment is None:
        return NOTHING
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    is_today = local.date() == datetime.now(local.tzinfo).date()
    short = local.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(),
        display_for_value(moment, NOTHING),
        short,
    )


def duration(seconds: float) -> str:
    """A length of time in the unit that fits."""
    if seconds < 0.001:
        return _("under 1 ms")
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{formats.number_format(seconds, 1)} s"
    for unit, size in ((_("d"), 86400), (_("h"), 3600), (_("min"), 60)):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            below = {86400: (3600, _("h")), 3600: (60, _("min")), 60: (1, "s")}[size]
            part = rest // below[0]
            return f"{whole} {unit} {part} {below[1]}" if part else f"{whole} {unit}"
    return ""


def between(start: datetime | None, end: datetime | None) -> str:
    """How long it took, if both are known."""
    if start is None or end is None:
        return NOTHING
    return duration((end - start).total_seconds())


def number(value: int) -> SafeString | str:
    """A count; none is drawn faintly, so that the others stand out."""
    if not value:
        return format_html('<span class="rj-none">{}</span>', 0)
    return number_text(value)


def number_text(value: float) -> str:
    """A count with the separators of the language."""
    return str(formats.number_format(value, use_l10n=True, force_grouping=True))


def size(count: int) -> str:
    """A number of bytes in the unit that fits."""
    if count < 1_000_000:
        return f"{formats.number_format(count / 1_000, 0)} kB"
    if count < 1_000_000_000:
        return f"{formats.number_format(count / 1_000_000, 0)} MB"
    return f"{formats.number_format(count / 1_000_000_000, 1)} GB"


def pretty(value: object) -> str:
    """A value as one would write it in Python, cut where it grows too long."""
    return shortened(pformat(value, width=96, sort_dicts=False))


def shortened(text: str) -> str:
    """Text without what nobody reads to the end."""
    if len(text) <= LONGEST:
        return text
    more = _("(%d more characters)") % (len(text) - LONGEST)
    return f"{text[:LONGEST]} … {more}"
