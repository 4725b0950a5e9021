"""How many jobs ended, as people are told."""

from __future__ import annotations

import logging

from django_redisjobs.worker.memory import FAILED, RETRIED, SUCCEEDED, SharedMemory
from django_redisjobs.worker.summary import Summary


def test_each_job_is_told_of_once_whatever_became_of_its_process(caplog):
    caplog.set_level(logging.INFO, "redisjobs.worker")
    memory = SharedMemory(2, 1)
    boards = first, second = memory.board(0), memory.board(1)
    summary = Summary(0.0)
    first.cells[SUCCEEDED], second.cells[FAILED], second.cells[RETRIED] = 5, 2, 1

    summary.tell(59.0, boards)
    assert not caplog.messages
    summary.tell(60.0, boards)
    first.cells[SUCCEEDED] = 6
    summary.keep(first)
    summary.tell(120.0, [second])
    first.clear(1)
    summary.tell(180.0, boards)
    first.cells[SUCCEEDED] = 3
    summary.tell(240.0, boards)

    assert caplog.messages == [
        "In the last 1 min: 5 succeeded, 1 to be retried, 2 failed.",
        "In the last 1 min: 1 succeeded, 0 to be retried, 0 failed.",
        "In the last 1 min: 3 succeeded, 0 to be retried, 0 failed.",
    ]
