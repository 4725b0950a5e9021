"""The list of jobs: its filters, its page sizes, and what it says of its bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

from django.contrib.admin.filters import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import formats
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_redisjobs.admin import jobsource
from django_redisjobs.admin.jobsource import JobReading
from django_redisjobs.admin.links import Links
from django_redisjobs.admin.queryset import RedisQuerySet, span_of

SIZE: Final = "size"
"""The parameter of an address that says how many jobs a page has."""
SIZES: Final = (25, 50, 100, 200)
MOST_FUNCTIONS: Final = 50
"""Functions that a filter offers."""


class PlainFilter(SimpleListFilter):
    """A filter each of whose choices is a condition of its own."""

    request: HttpRequest

    def condition(self, value: str, queryset: Any) -> Q:
        """What is asked of a job."""
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The jobs of the choice; of one that is not offered none."""
        value = self.value()
        return queryset.filter(self.condition(value, queryset)) if value else queryset

    def get_facet_counts(
        self, pk_attname: str, filtered_qs: QuerySet[Any]
    ) -> dict[str, Any]:
        """Counted by condition: Django would count the keys of a subquery."""
        return {
            f"{place}__c": Count(
                pk_attname, filter=self.condition(str(value), filtered_qs)
            )
            for place, (value, _title) in enumerate(self.lookup_choices)
        }


class QueueFilter(PlainFilter):
    """By queue. The names come from the settings: offering them asks nobody, unless a
    subclass of the queues' admin hides some.
    """

    title = _("queue")
    parameter_name = "queue"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, str]]:
        """The queues of the settings, and the one that is asked for."""
        names = Links(model_admin.admin_site, request).queue_names()
        asked = request.GET.get("queue")
        if asked and asked not in names:
            names.append(asked)
        return [(name, name) for name in names]

    def condition(self, value: str, queryset: Any) -> Q:
        """Of that queue."""
        return Q(queue=value)


class FunctionFilter(PlainFilter):
    """By function. Which there are is known when the page has been read."""

    title = _("function")
    parameter_name = "function"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, str]]:
        """None yet."""
        return ()

    def has_output(self) -> bool:
        """Always: the function that is asked for at least."""
        return True

    def condition(self, value: str, queryset: Any) -> Q:
        """Of that function."""
        return Q(function=value)

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Functions of which there are jobs, and the one that is asked for."""
        names = dict.fromkeys(changelist.reading.functions()[:MOST_FUNCTIONS])
        if asked := self.value():
            names[asked] = None
        self.lookup_choices = [(name, name) for name in names]
        yield from super().choices(changelist)


class TimeFilter(PlainFilter):
    """By when something last happened to a job."""

    title = _("time")
    parameter_name = "time"
    lengths: Final = {
        "15m": timedelta(minutes=15),
        "1h": timedelta(hours=1),
        "24h": timedelta(days=1),
        "7d": timedelta(days=7),
    }

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, Any]]:
        """Some lengths of time."""
        return (
            ("15m", _("15 minutes")),
            ("1h", _("1 hour")),
            ("24h", _("24 hours")),
            ("7d", _("7 days")),
        )

    def condition(self, value: str, queryset: Any) -> Q:
        """Since then."""
        if value not in self.lengths:
            return Q(pk__in=[])
        # One moment for the whole page, else its parts would not agree.
        return Q(changed_at__gte=queryset.source.began - self.lengths[value])


class JobList(ChangeList):
    """A list that reads all that its page shows in at most five round trips."""

    queryset: RedisQuerySet
    root_queryset: RedisQuerySet
    result_list: RedisQuerySet

    @cached_property
    def reading(self) -> JobReading:
        """What all query sets of this page share."""
        source = self.root_queryset.source
        assert isinstance(source, JobReading)
        return source

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        """Parameters that are about jobs; the size of a page is not."""
        found: dict[str, Any] = super().get_filters_params(params)
        found.pop(SIZE, None)
        return found

    def get_filters(self, request: HttpRequest) -> Any:
        """As Django's, which stumbles where a year is the last one."""
        try:
            return super().get_filters(request)
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error

    def get_results(self, request: HttpRequest) -> None:
        """Read the page; what Django then asks for is there already."""
        asked = request.GET.get(SIZE, "")
        if asked in map(str, SIZES):
            self.list_per_page = int(asked)
        low = max(0, self.page_num - 1) * self.list_per_page
        high = low + self.list_per_page
        if self.show_all:
            low, high = 0, self.list_max_show_all
        wanted = self.queryset.wanted(low, high)
        times = self._times() if self.add_facets else ()
        self.reading.prepare(wanted, [span_of(since) for since in times])
        super().get_results(request)
        total = self.reading.total(self.root_queryset.wanted())
        self.full_result_count = self.result_count if total is None else total
        drilled = any(
            name.startswith(f"{self.date_hierarchy}__") for name in self.params
        )
        if not drilled and self.reading.is_without_times(wanted):
            # No index has the times of jobs that wait: to tell them reads all jobs.
            self.date_hierarchy = None

    def _times(self) -> list[Any]:
        return [self.reading.began - length for length in TimeFilter.lengths.values()]

    @property
    def note(self) -> str:
        """What the list leaves out; empty where it has all."""
        looked_at = formats.number_format(jobsource.LOOKED_AT, force_grouping=True)
        deepest = formats.number_format(jobsource.DEEPEST, force_grouping=True)
        if self.result_list.is_cut and self.result_list.is_window:
            return gettext(
                "There are more jobs than one list can show: it ends after %(deepest)s. "
                "Choose one queue to page through all of its jobs."
            ) % {"deepest": deepest}
        if self.result_list.is_cut:
            return gettext(
                "There are more jobs than one list looks at: these are among the newest "
                "%(looked_at)s. To page through all jobs choose one status, no other "
                "filter but queues, and no order. A whole id is always found."
            ) % {"looked_at": looked_at}
        if self.add_facets and self.reading.is_sample_cut:
            return gettext(
                "Some of the counts beside the filters are those of the newest "
                "%(looked_at)s jobs."
            ) % {"looked_at": looked_at}
        return ""

    @property
    def sizes(self) -> list[tuple[int, str, bool]]:
        """How many jobs a page may have: number, address, whether it has."""
        return [
            (
                size,
                self.get_query_string({SIZE: size}, remove=["p", "all"]),
                size == self.list_per_page,
            )
            for size in SIZES
        ]
