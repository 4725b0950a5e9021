"""Whether arguments fit a function's signature, told before anything is sent."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any

_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class Binder:
    """One function's signature, taken apart once.

    ``inspect.Signature.bind`` costs more than the rest of an enqueueing. Calls are
    counted and compared here; only what seems not to fit is bound in full, which
    accepts it (``*args``) or finds the words of the error.
    """

    __slots__ = ("_least", "_most", "_places", "_required", "names", "signature")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.signature = _signature(function)
        parameters = self.signature.parameters.values()
        positional = [each for each in parameters if each.kind in _BY_PLACE]
        by_keyword = [
            each for each in parameters if each.kind is Parameter.KEYWORD_ONLY
        ]
        self.names = tuple(each.name for each in positional)
        self._most = len(positional)
        needed = [each for each in positional if each.default is Parameter.empty]
        needs_keyword = any(each.default is Parameter.empty for each in by_keyword)
        # A required keyword: no call without keywords fits.
        self._least = self._most + 1 if needs_keyword else len(needed)
        self._places = {
            each.name: place
            for place, each in enumerate([*positional, *by_keyword])
            if each.kind is not Parameter.POSITIONAL_ONLY
        }
        self._required = tuple(
            (each.name, place)
            for place, each in enumerate([*positional, *by_keyword])
            if each.default is Parameter.empty
        )

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise TypeError, in the words of Python, if a call would."""
        given = len(args)
        if given <= self._most:
            if not kwargs:
                if given >= self._least:
                    return
            elif self._fits(given, kwargs):
                return
        self.signature.bind(*args, **kwargs)

    def _fits(self, given: int, kwargs: Mapping[str, Any]) -> bool:
        places = self._places
        for name in kwargs:
            if places.get(name, -1) < given:
                return False
        for name, place in self._required:
            # The place of a keyword-only parameter is behind all that args fill.
            if place >= given and name not in kwargs:
                return False
        return True


def _signature(function: Callable[..., Any]) -> Signature:
    if sys.version_info >= (3, 14):
        # Annotations may name what is imported for type checkers only.
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)
