from __future__ import annotations

import os

import pytest

from django_redisjobs.worker.inbox import Announced, Inbox, drain, open_pipe, read_code


def test_first_in_first_out(pipe):
    inbox = Inbox(pipe)

    inbox.put([(code, f"job {code}", "station") for code in (5, 7, 6)])

    assert len(inbox) == 3
    assert [entry[0] for entry in inbox.take_all()] == [5, 7, 6]
    assert (inbox.take(), len(inbox)) == (None, 0)


def test_what_somebody_else_took_is_gone(pipe):
    inbox = Inbox(pipe)
    inbox.put([(code, "job", "station") for code in range(1, 4)])

    assert drain(pipe[0]) == [1, 2, 3]

    assert inbox.take() is None
    inbox.forget([1, 2, 3])
    assert len(inbox) == 0


def test_the_stock_is_what_is_there_to_take_as_far_as_anybody_has_seen(pipe):
    inbox = Inbox(pipe)
    assert inbox.stock == 0

    inbox.put([(code, "job", "station") for code in range(1, 4)])
    assert inbox.stock == 3

    drain(pipe[0])
    assert inbox.take() is None
    assert (inbox.stock, len(inbox)) == (0, 3)

    inbox.put([(4, "job", "station")])
    assert inbox.stock == 4


def test_a_pipe_that_is_closed_is_no_empty_one():
    read, write = open_pipe()
    os.close(write)
    assert read_code(read) == 0
    os.close(read)

    with pytest.raises(OSError, match="Bad file descriptor"):
        read_code(read)


def test_what_is_not_held_any_more_is_skipped(pipe):
    inbox = Inbox(pipe)
    inbox.put([(code, "job", "station") for code in (1, 2)])

    inbox.forget([1])

    assert inbox.take() == (2, "job", "station")


def test_many_records_fit(pipe):
    inbox = Inbox(pipe)

    inbox.put([(code, "job", "station") for code in range(1, 1001)])

    assert len(inbox.take_all()) == 1000


def test_a_claim_under_way_is_announced_behind_the_jobs(pipe):
    inbox = Inbox(pipe)
    inbox.put([(1, "job", "station")])
    inbox.announce(2)

    assert len(inbox) == 2
    assert inbox.take() == (1, "job", "station")
    assert isinstance(inbox.take(), Announced)
    assert (inbox.take(), len(inbox)) == (None, 0)


def test_an_announcement_has_one_reader(pipe):
    inbox = Inbox(pipe)
    inbox.announce(2)

    assert drain(pipe[0]) == [2]

    assert inbox.take() is None


def test_a_job_alone_that_is_taken_next_wakes_nobody_else(pipe):
    inbox = Inbox(pipe)

    inbox.put([(1, "job", "station")], taken_next=True)

    assert drain(pipe[0]) == []
    assert (len(inbox), inbox.stock) == (1, 1)
    assert inbox.take() == (1, "job", "station")
    assert (inbox.take(), len(inbox)) == (None, 0)


@pytest.mark.parametrize("codes", [[2], [2, 3]])
def test_where_others_wait_all_go_through_the_pipe(pipe, codes):
    inbox = Inbox(pipe)
    inbox.put([(1, "job", "station")] if len(codes) == 1 else [])

    inbox.put([(code, "job", "station") for code in codes], taken_next=True)

    assert drain(pipe[0])[-len(codes) :] == codes


def test_a_job_alone_can_be_handed_back_and_forgotten(pipe):
    inbox = Inbox(pipe)
    inbox.put([(1, "job", "station")], taken_next=True)
    assert inbox.take_all() == [(1, "job", "station")]

    inbox.put([(2, "job", "station")], taken_next=True)
    inbox.forget([2])
    assert inbox.take() is None

    inbox.put([(3, "job", "station")], taken_next=True)
    inbox.clear()
    assert inbox.take() is None


def test_what_is_laid_back_is_the_first_again(pipe):
    inbox = Inbox(pipe)
    inbox.put([(code, "job", "station") for code in (1, 2)])
    first = inbox.take()
    assert 1 not in inbox

    assert inbox.lay_back(first) == 1

    assert 1 in inbox
    assert [entry[0] for entry in inbox.take_all()] == [1, 2]


def test_an_announcement_can_be_laid_back(pipe):
    inbox = Inbox(pipe)
    inbox.announce(2)

    assert inbox.lay_back(inbox.take()) == 2

    assert inbox.take() == Announced(2)


def test_who_finds_it_empty_says_nothing_of_what_comes_meanwhile(pipe, monkeypatch):
    inbox = Inbox(pipe)
    entry = (1, "job", "station")

    def reads_just_before(descriptor):
        inbox.put([entry])
        return 0

    with monkeypatch.context() as patched:
        patched.setattr("django_redisjobs.worker.inbox.read_code", reads_just_before)
        assert inbox.take() is None

    assert inbox.stock == 1
    assert inbox.take() == entry
