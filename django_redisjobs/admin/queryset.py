"""A query set whose rows come from Redis.

Django builds the query as always; this class interprets it (conditions, order, limits,
``values_list``) instead of compiling SQL. So the stock admin works on it, and what it
cannot do is refused when it is asked for, not when it is evaluated.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NoReturn

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

from django_redisjobs.admin.conditions import Condition, read
from django_redisjobs.admin.sources import SOURCES, Found, Source, Wanted


class RedisQuerySet(QuerySet[Any]):
    """Reads one of this package's models. Raises ServerUnavailable when evaluated."""

    def _filter_or_exclude_inplace(self, negate: bool, args: Any, kwargs: Any) -> None:
        super()._filter_or_exclude_inplace(negate, args, kwargs)  # type: ignore[misc]
        # Refuse what cannot be looked up here, where callers expect it.
        read(self.query.where)

    def complex_filter(self, filter_obj: Any) -> RedisQuerySet:
        """As Django's."""
        if isinstance(filter_obj, Q):
            return self.filter(filter_obj)
        return self.filter(**filter_obj)

    def order_by(self, *field_names: Any) -> RedisQuerySet:
        """As Django's, by columns alone."""
        ordered: RedisQuerySet = super().order_by(*field_names)
        ordered._order()
        return ordered

    @cached_property
    def _source(self) -> Source:
        return SOURCES[self.model]

    @cached_property
    def _found(self) -> Found:
        """What the source has for this query, its window applied if it can."""
        condition = self.condition()
        wanted = Wanted(
            fixed=condition.fixed,
            as_stored=condition.complete and self._is_as_stored(),
            low=self.query.low_mark,
            high=self.query.high_mark,
        )
        return self._source.read(wanted)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than one query looks at."""
        return self._found.cut

    def condition(self) -> Condition:
        """What is asked of a row."""
        return read(self.query.where)

    def _is_as_stored(self) -> bool:
        default = {(), ("-enqueued_at",), ("-enqueued_at", "-pk")}
        # A changelist names what the model admin orders by a second time.
        names = tuple(dict.fromkeys(self.query.order_by))
        return (
            names in default and self.query.standard_ordering and not self._is_distinct
        )

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
        for name, descending in reversed(self._order()):
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
        if self._result_cache is not None:
            return len(self._result_cache)
        condition = self.condition()
        total = None
        if condition.complete and not self._is_distinct:
            total = self._source.count(condition.fixed)
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
            return rows.count()
        if type(part) not in {Min, Max} or column is None:
            raise NotSupportedError(f"Rows from Redis cannot give {part}.")
        found = [getattr(row, column) for row in rows]
        pick = min if type(part) is Min else max
        return pick((value for value in found if value is not None), default=None)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotSupportedError(
            f"{self.model._meta.object_name} rows come from Redis: they cannot be "
            "written, joined or combined by a query set."
        )

    create = get_or_create = update_or_create = update = delete = _refuse
    bulk_create = bulk_update = annotate = alias = extra = raw = _refuse
    union = intersection = difference = select_for_update = _refuse
    dates = datetimes = explain = _refuse
    __or__ = __and__ = __xor__ = _refuse


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
