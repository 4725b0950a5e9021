"""What a Django query asks for, read from its ``where`` tree.

Nothing is ever turned into SQL: a condition is a test of one row, and where possible
also a choice of columns' values, by which a source reads less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import NotSupportedError
from django.db.models import Lookup, Model
from django.db.models.expressions import Col
from django.db.models.sql.where import AND, OR, NothingNode, WhereNode
from django.utils import timezone

Test = Callable[[Model], bool]
Values = frozenset[Any]
Bound = tuple[str, Any]

_TEXT: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda value, asked: asked in value,
    "startswith": lambda value, asked: value.startswith(asked),
    "endswith": lambda value, asked: value.endswith(asked),
}
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "exact": lambda value, asked: bool(value == asked),
    "in": lambda value, asked: value in asked,
    "gt": lambda value, asked: bool(value > asked),
    "gte": lambda value, asked: bool(value >= asked),
    "lt": lambda value, asked: bool(value < asked),
    "lte": lambda value, asked: bool(value <= asked),
    "range": lambda value, asked: bool(asked[0] <= value <= asked[1]),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """Which rows are wanted.

    ``fixed``: a row's columns must be among these values. ``bounds``: columns must
    compare with these values, by ``gt``, ``gte``, ``lt`` or ``lte``. ``complete``:
    that is all there is to it, else ``test`` has the rest.
    """

    test: Test
    fixed: Mapping[str, Values]
    bounds: Mapping[str, Sequence[Bound]]
    complete: bool

    @property
    def is_empty(self) -> bool:
        """Whether every row passes."""
        return self.complete and not self.fixed and not self.bounds


def read(where: WhereNode) -> Condition:
    """The condition of a query.

    Raises:
        NotSupportedError: rows that come from Redis cannot be asked for that.
    """
    fixed: dict[str, Values] = {}
    bounds: dict[str, list[Bound]] = {}
    complete = _collect(where, fixed, bounds)
    return Condition(_test(where), fixed, bounds, complete)


def _collect(
    node: WhereNode, fixed: dict[str, Values], bounds: dict[str, list[Bound]]
) -> bool:
    """Fill ``fixed`` and ``bounds`` with what must hold; whether nothing else must."""
    if node.negated or (node.connector != AND and len(node.children) > 1):
        return not node.children
    complete = True
    for child in node.children:
        if isinstance(child, WhereNode):
            complete &= _collect(child, fixed, bounds)
        elif isinstance(child, NothingNode):
            fixed["pk"] = frozenset()
        else:
            complete &= _fix(child, fixed) or _bind(child, bounds)
    return complete


def _fix(lookup: Any, fixed: dict[str, Values]) -> bool:
    name, column = _parts(lookup)
    if name not in {"exact", "in"}:
        return False
    asked = _asked(lookup)
    values = frozenset(asked if name == "in" else [asked])
    key = "pk" if column.target.primary_key else column.target.attname
    fixed[key] = fixed.get(key, values) & values
    return True


def _bind(lookup: Any, bounds: dict[str, list[Bound]]) -> bool:
    name, column = _parts(lookup)
    if name not in {"gt", "gte", "lt", "lte"}:
        return False
    bounds.setdefault(column.target.attname, []).append((name, _asked(lookup)))
    return True


def _test(node: Any) -> Test:
    if isinstance(node, NothingNode):
        return lambda _row: False
    if not isinstance(node, WhereNode):
        return _lookup_test(node)
    tests = [_test(child) for child in node.children]
    if not tests:
        return lambda _row: True
    if node.connector == AND:
        joined: Test = lambda row: all(test(row) for test in tests)  # noqa: E731
    elif node.connector == OR:
        joined = lambda row: any(test(row) for test in tests)  # noqa: E731
    else:
        joined = lambda row: sum(test(row) for test in tests) % 2 == 1  # noqa: E731
    return (lambda row: not joined(row)) if node.negated else joined


def _lookup_test(lookup: Any) -> Test:
    name, column = _parts(lookup)
    attribute, asked = column.target.attname, _asked(lookup)
    if name == "isnull":
        return lambda row: (getattr(row, attribute) is None) == asked
    if name in _COMPARE:
        compare = _COMPARE[name]
        return lambda row: (
            (value := getattr(row, attribute)) is not None and compare(value, asked)
        )
    folded = name == "iexact" or name.removeprefix("i") in _TEXT
    if name not in _TEXT and not folded:
        raise NotSupportedError(f"Rows from Redis cannot be looked up by {name!r}.")
    match = _COMPARE["exact"] if name == "iexact" else _TEXT[name.removeprefix("i")]
    if name in _TEXT:
        return lambda row: match(str(getattr(row, attribute)), str(asked))
    wanted = str(asked).casefold()
    return lambda row: match(str(getattr(row, attribute)).casefold(), wanted)


def _asked(lookup: Any) -> Any:
    """What a column is compared with; times with a zone, or without, as rows have them."""
    if isinstance(lookup.rhs, str | bytes) or not isinstance(lookup.rhs, Iterable):
        return _zoned(lookup.rhs)
    return [_zoned(value) for value in lookup.rhs]


def _zoned(value: Any) -> Any:
    # Django gives those without a zone one where it has to, but not the reverse.
    if settings.USE_TZ or not isinstance(value, datetime) or timezone.is_naive(value):
        return value
    try:
        return timezone.make_naive(value)
    except OverflowError:
        # In the first or the last hours that there are.
        return value.replace(tzinfo=None)


def _parts(lookup: Any) -> tuple[str, Col]:
    """The name of a lookup and its column; anything else is refused."""
    if not isinstance(lookup, Lookup) or not isinstance(lookup.lhs, Col):
        raise NotSupportedError(f"Rows from Redis cannot be asked for {lookup}.")
    if hasattr(lookup.rhs, "resolve_expression"):
        raise NotSupportedError("Rows from Redis compare with values only.")
    return str(lookup.lookup_name), lookup.lhs
