"""A server for tests within the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from django.test import override_settings
from django.test.utils import TestContextDecorator

from django_redisjobs.connections import memory

from .limits import refuse_generator

_F = TypeVar("_F", bound=Callable[..., Any])


class memory_server(TestContextDecorator):  # noqa: N801 - as override_settings
    """Have jobs go to a server within this process, empty at first.

    A context manager, and a decorator of functions (but generators) and TestCase
    classes, where each test has its own. Other settings stay, but ``EAGER`` is off:
    nothing would reach a server. Needs the extra ``testing``.
    """

    def decorate_callable(self, func: _F) -> _F:
        refuse_generator(func, "`with memory_server():` in it")
        return super().decorate_callable(func)

    def enable(self) -> None:
        given = getattr(settings, "REDISJOBS", {})
        # What says how to reach another server.
        kept = {
            key: value
            for key, value in given.items()
            if key not in ("CACHE", "OPTIONS")
        }
        memory.empty()
        here = {**kept, "URL": "memory://", "EAGER": False}
        self._override = override_settings(REDISJOBS=here)
        self._override.enable()

    def disable(self) -> None:
        self._override.disable()
        memory.empty()
