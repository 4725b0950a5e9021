"""Renewing leases in several groups, of which some hang."""

from __future__ import annotations

import threading
from time import monotonic

import pytest
import redis
from django.test import override_settings

from django_redisjobs import connections
from django_redisjobs.core.presence import rescue
from django_redisjobs.core.records import DEFAULT_KEEP
from django_redisjobs.core.scripts import perform
from django_redisjobs.worker.beats import Beats
from django_redisjobs.worker.liaison import Liaison
from django_redisjobs.worker.memory import LIAISON_DEADLINE, SharedMemory
from django_redisjobs.worker.rescues import rescue_request
from tests.integration.worker.conftest import until
from tests.integration.worker.test_holdings import Process

QUEUES = {"default": {"GROUP": "a"}, "low": {"GROUP": "b"}, "high": {"GROUP": "c"}}


@pytest.fixture(params=[{}, {"max_connections": 1}], ids=["", "one connection"])
def process(redisjobs, request):
    changed = {**redisjobs, "QUEUES": QUEUES, "OPTIONS": request.param}
    with override_settings(REDISJOBS=changed):
        found = Process(list(QUEUES))
        yield found
        found.close()


@pytest.fixture
def beats(process):
    for number in range(len(QUEUES)):
        process.board.leases[number] = 1.0
    return Beats(process.posts, [process.board])


class Hanging:
    """Answers nothing about a group before ``over``, and then with ``error`` if there is one."""

    def __init__(self, post):
        self.over = threading.Event()
        self.error = None
        self.asked = 0
        self._base = post.keys.base
        self._client = connections.worker_client()

    def execute_command(self, *command, **options):
        if self._base in command:
            self.asked += 1
            assert self.over.wait(60)
            if self.error:
                raise self.error
        return self._client.execute_command(*command, **options)


def renewed(process):
    return [lease > monotonic() for lease in process.board.leases]


def test_all_leases_are_renewed(process, beats):
    heard = beats.renew(connections.worker_client())

    assert heard.troubles == {}
    assert renewed(process) == [True, True, True]


@pytest.mark.parametrize("process", [{}], indirect=True)
def test_a_group_that_hangs_is_waited_for_once(process, beats):
    first = process.posts[0]
    client = Hanging(first)
    beats.interval = 1.0

    heard = beats.renew(client)

    assert isinstance(heard.troubles[first], redis.TimeoutError)
    assert (set(heard.troubles), renewed(process)) == ({first}, [False, True, True])
    process.board.leases[1] = 1.0
    before, beats.interval = monotonic(), 30.0
    assert set(beats.renew(client).troubles) == {first}
    assert monotonic() - before < 10
    assert (client.asked, renewed(process)) == (1, [False, True, True])

    client.over.set()
    until(lambda: not beats.renew(client).troubles)
    assert renewed(process) == [True, True, True]


@pytest.mark.parametrize("process", [{}], indirect=True)
def test_a_group_that_goes_on_hanging_is_not_waited_for_again(process, beats):
    first = process.posts[0]
    client = Hanging(first)
    client.error = redis.TimeoutError("Timeout reading")
    beats.interval = 1.0
    beats.renew(client)
    before, beats.interval = monotonic(), 30.0

    client.over.set()
    client.over = threading.Event()
    troubles = []

    def is_asked_anew():
        troubles.append(beats.renew(client).troubles)
        return client.asked == 2

    until(is_asked_anew)
    assert monotonic() - before < 10
    assert {first: client.error} in troubles

    client.error = None
    client.over.set()
    until(lambda: not beats.renew(client).troubles)
    assert renewed(process) == [True, True, True]


def test_who_lost_a_lease_begins_anew_in_all_groups(process, beats):
    bounds = {"max_crashes": 3, "keep": DEFAULT_KEEP}
    keys, worker = process.posts[1].keys, process.board.worker
    client = connections.worker_client()
    perform(client, rescue(keys, worker, running={}, reason="lost", **bounds))

    beats.renew(client)

    assert list(process.board.leases) == [0.0, 0.0, 0.0]


class Line:
    def send(self, _message):
        pass


def test_leases_are_renewed_before_each_group_of_a_rescue(process):
    memory = SharedMemory(1, 1, len(QUEUES))
    liaison = Liaison(process.posts, [process.board], memory.common, Line(), "here")
    liaison._beats.interval = -1.0
    away = redis.TimeoutError("It hangs")
    deadlines = []

    def renew(_client):
        deadlines.append(memory.common[LIAISON_DEADLINE] - monotonic())
        memory.common[LIAISON_DEADLINE] = 0.0
        heard = liaison._heard
        # Found to hang after the first one has been asked.
        heard.troubles = dict.fromkeys(process.posts[1:], away)
        return heard

    liaison._beats.renew = renew
    request = rescue_request(process.board.worker, reason="it ended")

    with pytest.raises(redis.TimeoutError, match="It hangs"):
        liaison._serve({"do": "rescue", "number": 1, **request})

    assert len(deadlines) == 3
    assert min(deadlines) > 50
