"""The pages in the languages that the package speaks."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils.translation import override

from tests.integration.core.store import Store, attempt

from .conftest import Staff

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


def test_a_question_names_statuses_in_the_language_of_the_person(
    store: Store, staff: Staff
):
    (job_id,) = store.add("low")
    fields = {"action": "remove", "_selected_action": job_id}
    browser = staff("view_job", "delete_job")

    with override("de"):
        question = browser.post("/admin/redisjobs/job/", fields).content.decode()

    assert "(1 wartend)" in question
    assert '<input type="hidden" name="shown" value="pending">' in question


@pytest.mark.parametrize(
    ("outcome", "word"),
    [("crashed", "abgestürzt"), ("timeout", "Zeitüberschreitung")],
)
def test_runs_end_in_the_language_of_the_person(
    store: Store, browser: Client, outcome: str, word: str
):
    (job_id,) = store.add("low")
    worker = store.worker("low")
    (job,) = worker.claim()
    worker.settle(job, kind="failed", attempt=attempt(job, outcome))

    with override("de"):
        page = browser.get(f"/admin/redisjobs/job/{job_id}/change/")

    (one,) = page.context["job"].attempts
    assert one.outcome == f'<span class="rj-badge rj-{outcome}">{word}</span>'
