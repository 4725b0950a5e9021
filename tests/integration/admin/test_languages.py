"""The pages in the languages that the package speaks."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils.translation import override

from tests.integration.core.store import Store

WORDS = {
    "de": ("Hintergrund-Jobs", "wartend", "Warteschlangen"),
    "es": ("Tareas en segundo plano", "pendiente", "Colas"),
    "fr": ("Tâches d’arrière-plan", "en attente", "Files"),
    "ja": ("バックグラウンドジョブ", "待機中", "キュー"),
    "pt": ("Tarefas em segundo plano", "pendente", "Filas"),
    "pt-br": ("Tarefas em segundo plano", "pendente", "Filas"),
    "zh-hans": ("后台任务", "等待中", "队列"),
}


@pytest.mark.parametrize("language", WORDS)
def test_pages_speak_the_language_of_the_person(
    store: Store, browser: Client, language: str
):
    (job_id,) = store.add("low")
    name, status, queues = WORDS[language]

    with override(language):
        overview = browser.get("/admin/redisjobs/queue/").content.decode()
        one = browser.get(f"/admin/redisjobs/job/{job_id}/change/").content.decode()
        listed = browser.get("/admin/redisjobs/job/").content.decode()

    assert name in overview
    assert f'<h2 id="rj-queues">{queues}</h2>' in overview
    assert status in one
    assert status in listed
