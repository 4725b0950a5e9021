"""The thread in which coroutines use the database, and what is put in line there."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from asgiref.sync import SyncToAsync

from django_redisjobs.worker import databases
from django_redisjobs.worker.coroutines import Coroutines
from django_redisjobs.worker.memory import KEPT, SharedMemory


@pytest.fixture
def thread(monkeypatch):
    """Django's thread for coroutines, which has opened a connection; kept until it is
    freed.
    """
    submit = SyncToAsync.single_thread_executor.submit
    monkeypatch.setattr(databases, "_opened", {submit(threading.get_ident).result(30)})
    monkeypatch.setattr(databases, "MOST_IN_LINE", 3)
    done = []
    monkeypatch.setattr(databases, "_refresh", lambda: done.append("refreshed"))
    free, begun = threading.Event(), threading.Event()

    def keep():
        begun.set()
        free.wait(60)

    submit(keep)
    assert begun.wait(30)
    yield SimpleNamespace(
        free=free.set, done=done, add=lambda word: submit(done.append, word)
    )
    free.set()
    submit(int).result(30)


def test_it_tidies_up_before_whatever_comes_later(thread):
    databases.refresh_in_line()
    thread.add("job")
    databases.refresh_in_line()

    thread.free()
    thread.add("end").result(30)

    assert thread.done == ["refreshed", "job", "refreshed", "end"]


def test_a_thread_that_is_kept_is_not_asked_for_ever(thread):
    for _ in range(10):
        databases.refresh_in_line()
    thread.free()
    thread.add("end").result(30)
    assert thread.done == ["refreshed"] * 3 + ["end"]

    databases.refresh_in_line()
    thread.add("end").result(30)
    assert thread.done[-2:] == ["refreshed", "end"]


def test_who_is_not_to_blame_is_told_from_who_may_be(thread, monkeypatch):
    board = SharedMemory(1, 2).board(0)
    coroutines = Coroutines(board, 0, 2, None, None, None)
    older, newer = coroutines.slots
    monkeypatch.setattr(databases, "monotonic", lambda: 100.0)
    monkeypatch.setattr("django_redisjobs.worker.coroutines.monotonic", lambda: 160.0)

    def run(slot, started):
        slot.take(1, SimpleNamespace(id="x"), SimpleNamespace(generation=1), started)

    def kept():
        coroutines.note_kept()
        return board.cells[KEPT]

    assert kept() == 0.0
    run(older, 50.0)
    databases.refresh_in_line()
    run(newer, 150.0)
    assert kept() == 0.0

    # The one that may have kept the thread all the while has ended, so late.
    older.free()
    assert kept() == 160.0

    thread.free()
    thread.add("end").result(30)
    assert kept() == 0.0


def test_what_the_worker_fetches_waits_for_no_job(thread):
    fetching = databases.fetch(threading.current_thread)

    assert fetching.result(30).name.startswith("redisjobs-fetcher")
