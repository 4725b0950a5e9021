"""The language that is active where somebody enqueues."""

from __future__ import annotations

from contextvars import ContextVar

from django.conf import settings
from django.utils.translation import get_language, trans_real


def foreign_language() -> str | None:
    """The active language, if it is another than the project's."""
    if not _may_be_active():
        return None
    language = get_language()
    return language if language != settings.LANGUAGE_CODE else None


def _may_be_active() -> bool:
    """Whether a language was ever activated here.

    Where none was, to ask for it has asgiref raise and Django swallow an error: a sixth
    of a ``delay`` in a transaction. Neither documents where it is kept: where that is
    not as known here, they are asked all the same.
    """
    try:
        # Tests replace the first of these, so none is kept.
        variable = trans_real._active._storage._data  # type: ignore[attr-defined]  # noqa: SLF001
    except AttributeError:
        return True
    return not isinstance(variable, ContextVar) or variable.get(None) is not None
