from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from django_redisjobs.worker.memory import (
    CALLS_PER_GROUP,
    GENERATION,
    INDEXES_PER_CALL,
    REGISTERED,
    Phase,
    SharedMemory,
    code_of,
    code_of_call,
    group_of,
    new_base,
    token_of,
    tokens_of,
    worker_id,
)
from django_redisjobs.worker.pace import LARGEST_BATCH
from django_redisjobs.worker.slots import TaskSlot


@pytest.mark.parametrize("group", [0, 1, 511])
@pytest.mark.parametrize("call", [1, CALLS_PER_GROUP - 1])
@pytest.mark.parametrize("index", [0, 63, INDEXES_PER_CALL - 1])
def test_a_code_is_a_token_in_one_cell(group, call, index):
    worker = worker_id(new_base(), 7)
    token = f"{worker}:{call}:{index}"

    code = code_of(token, group)

    assert code == float(code) < 2**53
    assert (group_of(code), token_of(code, worker)) == (group, token)


@pytest.mark.parametrize("group", [0, 511])
@pytest.mark.parametrize("call", [1, CALLS_PER_GROUP - 1])
def test_a_call_under_way_stands_for_all_that_it_may_claim(group, call):
    worker = worker_id(new_base(), 7)

    code = code_of_call(call, group)

    assert code == float(code) < 2**53
    assert group_of(code) == group
    tokens = tokens_of(code, worker)
    assert len(tokens) == LARGEST_BATCH
    assert tokens[:2] == [f"{worker}:{call}:0", f"{worker}:{call}:1"]
    first = code_of(tokens[0], group)
    assert tokens_of(first, worker) == tokens[:1]


def test_children_have_boards_of_their_own():
    memory = SharedMemory(3, 2)
    boards = [memory.board(number) for number in range(3)]
    for board in boards:
        board.clear(new_base())

    boards[1].cells[GENERATION] = 5

    assert [board.generation for board in boards] == [0, 5, 0]
    assert len({board.worker for board in boards}) == 3


def test_a_board_is_registered_under_its_id_of_now_only():
    board = SharedMemory(1, 1).board(0)
    board.clear(new_base())
    assert not board.registered
    board.cells[GENERATION] = 1
    assert not board.registered
    board.cells[REGISTERED] = 1
    assert board.registered
    board.cells[GENERATION] = 2
    assert not board.registered


@pytest.mark.parametrize("job_id", ["a" * 28, "ä" * 40])
def test_what_runs_is_seen_by_another_process(job_id):
    board = SharedMemory(1, 2).board(0)
    board.clear(new_base())
    pid = os.fork()
    if not pid:
        slot = TaskSlot(board, 1)
        job, station = SimpleNamespace(id=job_id), SimpleNamespace(generation=4)
        slot.take(77, job, station, 12.5)
        slot.limit(13.0, 23.0)
        board.enter(Phase.LOOP, 99.0)
        os._exit(0)
    os.waitpid(pid, 0)

    (one,) = board.running()

    assert (one.slot, one.generation, one.code) == (1, 4, 77)
    assert (one.started, one.hard, board.phase) == (12.5, 23.0, Phase.LOOP)
    assert job_id.startswith(one.job_id.rstrip("\ufffd"))


def test_a_freed_slot_shows_nothing():
    board = SharedMemory(1, 1).board(0)
    slot = TaskSlot(board, 0)
    slot.take(1, SimpleNamespace(id="x"), SimpleNamespace(generation=1), 0.0)

    slot.free()

    assert board.running() == []
