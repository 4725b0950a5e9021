"""The supervisor's memory of what it has asked."""

from __future__ import annotations

import pytest

from django_redisjobs.worker.link import Desk, Line, open_line


@pytest.fixture
def line():
    ends = [Line(end) for end in open_line()]
    yield ends
    for end in ends:
        end.close()


def test_messages_arrive_whole_and_in_order(line):
    ours, theirs = line
    for number in range(3):
        ours.send({"number": number, "text": "line\nbreak ä"})

    assert [each["number"] for each in theirs.receive()] == [0, 1, 2]
    assert not theirs.closed


def test_what_the_other_end_does_not_take_yet_waits(line):
    ours, theirs = line
    for number in range(20_000):
        ours.send({"number": number, "text": "x" * 50})

    found = []
    while len(found) < 20_000:
        ours.flush()
        found += [each["number"] for each in theirs.receive()]

    assert found == list(range(20_000))


def test_the_end_of_the_other_process_is_seen(line):
    ours, theirs = line
    theirs.close()

    assert list(ours.receive()) == []
    assert ours.closed
    ours.send({"number": 1})


def test_a_successor_is_asked_what_its_predecessor_did_not_do():
    desk = Desk()
    ours, theirs = (Line(end) for end in open_line())
    desk.connect(ours)
    first, second = desk.ask("rescue", worker="a"), desk.ask("rescue", worker="b")
    assert len(list(theirs.receive())) == 2
    desk.done(first)
    for end in (ours, theirs):
        end.close()
    third = desk.ask("rescue", worker="c")

    ours, theirs = (Line(end) for end in open_line())
    desk.connect(ours)

    asked = list(theirs.receive())
    assert [each["number"] for each in asked] == [second, third]
    assert desk.is_open(second)
    assert not desk.is_open(first)
    for end in (ours, theirs):
        end.close()
