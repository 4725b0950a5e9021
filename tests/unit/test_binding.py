"""What does not fit a signature is refused exactly where Python would."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from django_redisjobs.binding import Binder

if TYPE_CHECKING:
    from somewhere import Missing


def nothing() -> None: ...
def plain(a: Any, b: Any, c: Any = 3) -> None: ...
def by_place(a: Any, b: Any = 2, /) -> None: ...
def mixed(a: Any, /, b: Any, *, c: Any, d: Any = 4) -> None: ...
def keywords(*, a: Any, b: Any = 2) -> None: ...
def optional_keyword(a: Any = 1, *, b: Any = 2) -> None: ...
def many(a: Any, *args: Any) -> None: ...
def anything(*args: Any, **kwargs: Any) -> None: ...
def rest(a: Any, /, b: Any = 2, **kwargs: Any) -> None: ...
def annotated(a: Missing) -> Missing: ...


CALLS = [
    (args, dict.fromkeys(names, 0))
    for args, names in product(
        [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        ["", "a", "b", "c", "d", "ab", "bc", "cd", "abc", "abcd", "x"],
    )
]
FUNCTIONS = [
    nothing,
    plain,
    by_place,
    mixed,
    keywords,
    optional_keyword,
    many,
    anything,
    rest,
    annotated,
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_agrees_with_python_about_every_call(function: Callable[..., Any]) -> None:
    binder = Binder(function)

    for args, kwargs in CALLS:
        assert accepts(binder.check, args, kwargs) == accepts(
            lambda args, kwargs: inspect.signature(function).bind(*args, **kwargs),
            args,
            kwargs,
        ), (function, args, kwargs)


def accepts(check: Callable[..., Any], args: Any, kwargs: Any) -> bool:
    try:
        check(args, kwargs)
    except TypeError:
        return False
    return True


def test_the_names_of_positional_parameters_are_known() -> None:
    assert Binder(mixed).names == ("a", "b")
