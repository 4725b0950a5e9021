"""Which language a job is told of: what Django says, however it was activated."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from types import NoneType

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.test import override_settings
from django.utils import translation

from django_redisjobs import languages
from django_redisjobs.languages import foreign_language


@pytest.fixture(autouse=True, params=["looks first", "asks Django only"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where asgiref keeps it in another way, Django is asked each time."""
    if request.param == "asks Django only":
        monkeypatch.setattr(languages, "ContextVar", NoneType)


@pytest.fixture(autouse=True)
def _nothing_active() -> Iterator[None]:
    with translation.override(None):
        translation.deactivate()
        yield


def in_thread(
    context: Context, ask: Callable[[], str | None] = foreign_language
) -> str | None:
    found: list[str | None] = []
    thread = threading.Thread(target=context.run, args=(lambda: found.append(ask()),))
    thread.start()
    thread.join()
    return found[0]


def test_no_language_is_none():
    assert Context().run(foreign_language) is None
    assert foreign_language() is None
    assert in_thread(Context()) is None


def test_the_projects_own_and_none_at_all_are_none(settings):
    with translation.override(settings.LANGUAGE_CODE):
        assert foreign_language() is None
    with translation.override(None):
        assert foreign_language() is None


def test_another_is_itself_until_it_is_over():
    translation.activate("de")
    assert foreign_language() == "de"
    with translation.override("fr"):
        assert foreign_language() == "fr"
    assert foreign_language() == "de"
    translation.deactivate()
    assert foreign_language() is None


def test_tests_may_change_the_projects_language():
    with override_settings(LANGUAGE_CODE="fr"):
        assert foreign_language() is None
        with translation.override("de"):
            assert foreign_language() == "de"
    with translation.override("fr"):
        assert foreign_language() == "fr"


def test_it_is_that_of_the_task_and_of_the_call_from_it():
    async def task(language: str) -> list[str | None]:
        with translation.override(language):
            await asyncio.sleep(0)
            return [foreign_language(), await sync_to_async(foreign_language)()]

    async def both() -> list[list[str | None]]:
        return list(await asyncio.gather(task("de"), task("fr")))

    assert Context().run(async_to_sync(both)) == [["de", "de"], ["fr", "fr"]]
    assert foreign_language() is None


def test_what_another_thread_inherits_is_what_django_says_there():
    with translation.override("de"):
        context = copy_context()
        said = in_thread(context, translation.get_language)

        assert in_thread(context) == (said if said == "de" else None)


def test_django_is_asked_only_where_a_language_was_activated(monkeypatch):
    asked: list[None] = []
    monkeypatch.setattr(languages, "get_language", lambda: asked.append(None))

    Context().run(foreign_language)
    assert bool(asked) is (languages.ContextVar is NoneType)
    translation.activate("de")
    asked.clear()
    foreign_language()
    assert asked
