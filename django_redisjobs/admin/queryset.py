"""A query set whose rows come from Redis.

Django builds the query as always; this class interprets it (conditions, order, limits,
``values_list``) instead of compiling SQL. So the stock admin works on it, and what it
cannot do is refused when it is asked for, not when it is evaluated.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, NoReturn

from django.db import NotSupportedError
from django.db.models import Count, F, Max, Min, Model, Q, QuerySet
from django.db.models.expressions import OrderBy
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    NamedValuesListIterable,
    ValuesIterable,
    ValuesListIterable,
)
from django.utils import timezone

from django_redisjobs.admin.conditions import Bound, Condition, Test, read
from django_redisjobs.admin.jobsource import JobReading
from django_redisjobs.admin.sources import (
    Found,
    QueueSource,
    Source,
    Wanted,
    WorkerSource,
)
from django_redisjobs.core.listing import Span
from django_redisjobs.models import Job, Queue, Worker
from django_redisjobs.options import epoch_ms

SOURCES: Mapping[type[Model], type[Source]] = {
    Job: JobReading,
    Queue: QueueSource,
    Worker: WorkerSource,
}
WHEN: Final = "changed_at"
"""The column whose times some sources have an index of."""


class RedisQuerySet(QuerySet[Any]):
    """Reads one of this package's models. Raises ServerUnavailable when evaluated."""

    _shared: Source | None = None
    _tests: tuple[Test, ...] = ()

    def _filter_or_exclude_inplace(self, negate: bool, args: Any, kwargs: Any) -> None:
        super()._filter_or_exclude_inplace(negate, args, kwargs)  # type: ignore[misc]
        # Refuse what cannot be looked up here, where callers expect it.
        read(self.query.where)

    def complex_filter(self, filter_obj: Any) -> RedisQuerySet:
        """As Django's."""
        if isinstance(filter_obj, Q):
            return self.filter(filter_obj)
        return self.filter(**filter_obj)

    def using(self, alias: str | None) -> RedisQuerySet:
        """No row is in a database of that name: so ``dumpdata`` finds none to dump, which
        ``loaddata`` would have no table for.
        """
        chosen: RedisQuerySet = self.all() if alias is None else self.none()
        return chosen

    def order_by(self, *field_names: Any) -> RedisQuerySet:
        """As Django's, by columns alone."""
        ordered: RedisQuerySet = super().order_by(*field_names)
        ordered._order()
        return ordered

    def sharing(self, *, broad: bool = False) -> RedisQuerySet:
        """A query set that reads each thing once, for itself and all made of it.

        ``broad``: many unlike questions will be asked of it.
        """
        shared: RedisQuerySet = self._chain()  # type: ignore[attr-defined]
        shared._shared = SOURCES[self.model](broad=broad)
        return shared

    def _clone(self) -> RedisQuerySet:
        clone: RedisQuerySet = super()._clone()  # type: ignore[misc]
        clone._shared = self._shared
        clone._tests = self._tests
        return clone

    def matching(self, test: Test) -> RedisQuerySet:
        """Rows that also pass a test, which no index can answer."""
        found: RedisQuerySet = self._chain()  # type: ignore[attr-defined]
        found._tests = (*self._tests, test)
        return found

    @cached_property
    def source(self) -> Source:
        """What reads the rows."""
        return self._shared or SOURCES[self.model]()

    def wanted(self, low: int = 0, high: int | None = None) -> Wanted:
        """What this query needs of its source."""
        condition = self.condition()
        bounds = dict(condition.bounds)
        span = _span(bounds.pop(WHEN, ()))
        return Wanted(
            fixed=condition.fixed,
            span=span,
            exact=condition.complete and not bounds and not self._is_distinct,
            as_stored=self._is_as_stored(),
            low=low,
            high=high,
        )

    @cached_property
    def _found(self) -> Found:
        """What the source has for this query, its window applied if it can."""
        if self.query.is_empty():
            return Found(rows=())
        return self.source.read(self.wanted(self.query.low_mark, self.query.high_mark))

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than one query looks at."""
        return self._found.cut

    @property
    def is_window(self) -> bool:
        """Whether an index has all rows in this order."""
        return self._found.window

    def condition(self) -> Condition:
        """What is asked of a row."""
        condition = read(self.query.where)
        if not self._tests:
            return condition
        tests = (condition.test, *self._tests)
        return replace(
            condition,
            test=lambda row: all(test(row) for test in tests),
            complete=False,
        )

    def _is_as_stored(self) -> bool:
        # A changelist orders by the key where the model admin names nothing.
        names = tuple(dict.fromkeys(self.query.order_by))
        return names in {(), ("-pk",)} and self.query.standard_ordering

    @property
    def _is_distinct(self) -> bool:
        return self.query.distinct and self._iterable_class is not ModelIterable

    def _fetch_all(self) -> None:
        if self._result_cache is None:
            self._result_cache = self._shaped(self._window())

    def _window(self) -> Sequence[Model]:
        found = self._found
        if found.window:
            return found.rows
        return self._matching()[self.query.low_mark : self.query.high_mark]

    def _matching(self) -> list[Model]:
        """All rows that the query asks for, in its order, without its limits."""
        test = self.condition().test
        rows = [row for row in self._found.rows if test(row)]
        for name, descending in () if self._is_as_stored() else self._order()[::-1]:
            rows.sort(key=lambda row: _sortable(row, name), reverse=descending)
        if self._is_distinct:
            rows = list({self._row_values(row): row for row in rows}.values())
        return rows

    def _order(self) -> list[tuple[str, bool]]:
        """(column, descending) by which rows are sorted, the first counts most."""
        order = []
        for item in self.query.order_by:
            expression: Any = item.expression if isinstance(item, OrderBy) else item
            name = _column(expression) or expression
            if not isinstance(name, str) or name.lstrip("-") not in self._columns:
                raise NotSupportedError(f"Rows from Redis cannot be sorted by {item}.")
            descending = name.startswith("-")
            if isinstance(item, OrderBy):
                descending = item.descending
            turned = descending == self.query.standard_ordering
            order.append((name.lstrip("-"), turned))
        return order

    @cached_property
    def _columns(self) -> frozenset[str]:
        return frozenset(
            {"pk", *(field.attname for field in self.model._meta.concrete_fields)}
        )

    def _shaped(self, rows: Sequence[Model]) -> list[Any]:
        kind = self._iterable_class
        if kind is ModelIterable:
            return list(rows)
        values = [self._row_values(row) for row in rows]
        if kind is FlatValuesListIterable:
            return [value[0] for value in values]
        if kind is ValuesIterable:
            names = self._value_names()
            return [dict(zip(names, value, strict=True)) for value in values]
        if kind is NamedValuesListIterable:
            named: Any = namedtuple("Row", list(self._value_names()))  # type: ignore[misc]  # noqa: PYI024
            return [named._make(value) for value in values]
        if kind is ValuesListIterable:
            return values
        raise NotSupportedError(f"Rows from Redis cannot be given as {kind.__name__}.")

    def _value_names(self) -> tuple[str, ...]:
        names: tuple[str, ...] = tuple(getattr(self, "_fields", None) or ())
        return names or tuple(f.attname for f in self.model._meta.concrete_fields)

    def _row_values(self, row: Model) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in self._value_names())

    def iterator(self, chunk_size: int | None = None) -> Iterator[Any]:
        """All rows; they are read at once, whatever ``chunk_size`` says."""
        return iter(self.all())

    def count(self) -> int:
        """How many rows iterating would give."""
        if self._result_cache is not None or self.query.is_empty():
            return len(self._result_cache or ())
        total = self.source.count(self.wanted())
        if total is None:
            total = len(self._matching())
        high = total if self.query.high_mark is None else self.query.high_mark
        return max(0, min(total, high) - self.query.low_mark)

    def exists(self) -> bool:
        """Whether there is a row."""
        return self.count() > 0

    def in_bulk(self, id_list: Any = None, *, field_name: str = "pk") -> dict[Any, Any]:
        """Rows by their primary key."""
        if field_name != "pk":
            raise NotSupportedError("Rows from Redis are found by primary key only.")
        rows = self if id_list is None else self.filter(pk__in=id_list)
        return {row.pk: row for row in rows}

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """``Count``, ``Min`` and ``Max`` of a column, with filters."""
        named = {**{part.default_alias: part for part in args}, **kwargs}
        return {name: self._aggregated(part) for name, part in named.items()}

    def _aggregated(self, part: Any) -> Any:
        rows = self if part.filter is None else self.filter(_filter_of(part))
        column = _column(part.get_source_expressions()[0])
        if type(part) is Count and not getattr(part, "distinct", False):
            total = rows.source.total(rows.wanted())
            return rows.count() if total is None else total
        if type(part) not in {Min, Max} or column is None:
            raise NotSupportedError(f"Rows from Redis cannot give {part}.")
        edges = rows.source.edges(rows.wanted()) if column == WHEN else None
        if edges:
            return edges[type(part) is Max]
        found = [getattr(row, column) for row in rows]
        pick = min if type(part) is Min else max
        return pick((value for value in found if value is not None), default=None)

    def datetimes(
        self, field_name: str, kind: str, order: str = "ASC", tzinfo: Any = None
    ) -> Any:
        """The years, months or days of a column's times, each once.

        Where an index tells only the first and the last time, all between them.
        """
        if kind not in {"year", "month", "day"} or order not in {"ASC", "DESC"}:
            raise NotSupportedError(f"Rows from Redis have no {kind!r} by {order!r}.")
        edges = self.source.edges(self.wanted()) if field_name == WHEN else None
        if edges:
            found = periods(_local(edges[0]), _local(edges[1]), kind)
        else:
            times = {_quarter(getattr(row, field_name)) for row in self} - {None}
            found = {begin(_local(each), kind) for each in times}
        return sorted(found, reverse=order == "DESC")

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotSupportedError(
            f"{self.model._meta.object_name} rows come from Redis: they cannot be "
            "written, joined or combined by a query set."
        )

    create = get_or_create = update_or_create = update = delete = _refuse
    bulk_create = bulk_update = annotate = alias = extra = raw = _refuse
    union = intersection = difference = select_for_update = _refuse
    dates = explain = _refuse
    __or__ = __and__ = __xor__ = _refuse


def span_of(since: datetime) -> Span:
    """All that happened since then."""
    return _span([("gte", since)])


def _span(bounds: Sequence[Bound]) -> Span:
    """Bounds of a time as a span; a moment counts to the millisecond."""
    since: list[int] = []
    until: list[int] = []
    for name, value in bounds:
        moment_ms = epoch_ms(_aware(value))
        if name in {"gt", "gte"}:
            since.append(moment_ms + (name == "gt"))
        else:
            until.append(moment_ms + (name == "lte"))
    return Span(max(since, default=None), min(until, default=None))


def _aware(value: datetime) -> datetime:
    return timezone.make_aware(value) if timezone.is_naive(value) else value


def _local(value: datetime) -> datetime:
    return timezone.localtime(value) if timezone.is_aware(value) else value


def _quarter(value: datetime | None) -> Any:
    # In no time zone does a day begin within a quarter of an hour.
    if value is None:
        return None
    return value.replace(minute=value.minute // 15 * 15, second=0, microsecond=0)


def begin(value: datetime, kind: str) -> datetime:
    """When the year, month or day of a time begins."""
    midnight = value.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if kind == "day":
        return midnight
    first = midnight.replace(day=1)
    return first.replace(month=1) if kind == "year" else first


def periods(first: datetime, last: datetime, kind: str) -> set[datetime]:
    """All years, months or days from one time to another."""
    found = set()
    current = begin(first, kind)
    while current <= last:
        found.add(current)
        # Longer than any of its kind: the beginning of the next one is within.
        step = {"year": 370, "month": 32, "day": 1}[kind]
        naive = (current + timedelta(days=step)).replace(tzinfo=None)
        following = begin(naive, kind)
        current = timezone.make_aware(following) if current.tzinfo else following
    return found


def _sortable(row: Model, name: str) -> tuple[bool, Any]:
    value = getattr(row, name)
    # Rows without a value come first when ascending, as in most databases.
    return (value is not None, value if value is not None else 0)


def _column(expression: Any) -> str | None:
    """The name in ``F("name")``; None for all else."""
    return str(expression.name) if type(expression) is F else None  # type: ignore[attr-defined]


def _filter_of(aggregate: Any) -> Any:
    """The condition of an aggregate; Django 6.1 wraps it."""
    if isinstance(aggregate.filter, Q):
        return aggregate.filter
    return aggregate.filter.get_source_expressions()[0]
