"""What a child holds while its supervisor reads its inbox, too."""

from __future__ import annotations

import os
from time import monotonic

import pytest
import redis
from django.test import override_settings

from django_redisjobs import JobStatus, conf, connections
from django_redisjobs.core.exceptions import LeaseLost
from django_redisjobs.core.presence import rescue
from django_redisjobs.core.records import DEFAULT_KEEP
from django_redisjobs.core.scripts import perform
from django_redisjobs.worker.holdings import Holdings
from django_redisjobs.worker.inbox import Inbox, drain, open_pipe
from django_redisjobs.worker.logs import JobLog
from django_redisjobs.worker.memory import DEADLINE, SharedMemory, new_base
from django_redisjobs.worker.rescues import Rescuer
from django_redisjobs.worker.stations import posts
from tests.integration.worker import jobs
from tests.integration.worker.conftest import break_the_connection, crash_twice

pytestmark = pytest.mark.usefixtures("redisjobs")


class Process:
    """A child's part in this process; ``steal`` is its supervisor's."""

    def __init__(self, queues=("default",)):
        self.posts = posts(queues)
        self.board = SharedMemory(1, 1, len(self.posts)).board(0)
        self.board.clear(new_base())
        self.pipe = open_pipe()
        self.inbox = Inbox(self.pipe)
        self.holdings = Holdings(
            self.posts,
            self.board,
            self.inbox,
            JobLog("here"),
            lease_seconds=30,
            admitted=lambda _number: None,
        )
        self.holdings.register({})

    def close(self):
        for end in self.pipe:
            os.close(end)

    def claim(self, want, *, fresh=False, expected=False, ahead=None):
        return self.holdings.claim(
            lambda _coming: want, fresh=fresh, expected=expected, ahead=ahead
        )

    def claim_ahead(self, want):
        """Claim one job, and so many while it would be worked off."""
        assert self.claim(1, ahead=lambda _came: want).jobs == 1

    def steal(self):
        return drain(self.pipe[0])

    def hand_back(self, codes):
        rescuer = Rescuer(self.posts, JobLog("here"), lambda *_: None, lambda: None)
        rescuer.hand_back(connections.worker_client(), self.board.worker, codes)


@pytest.fixture
def process():
    found = Process()
    yield found
    found.close()


@pytest.fixture
def of_two_groups(redisjobs):
    """One that asks the group of "default" first and that of "low" then."""
    queues = {"default": {"GROUP": "other"}, "low": {}}
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        found = Process(list(queues))
        yield found
        found.close()


def statuses(handles):
    return {handle.status() for handle in handles}


def test_a_due_time_is_no_whole_number_of_seconds(process):
    """Redis ends the blocks of whole seconds by itself, and a little late."""
    jobs.add.using(run_after=5).delay(1, 1)

    claim = process.claim(1)

    assert claim.due_seconds * 1000 % 1 == pytest.approx(0.5)


def test_an_announcement_that_the_supervisor_took_is_forgotten(process):
    handles = jobs.add.delay_many([(1, 1)] * 4)
    process.claim_ahead(2)

    process.hand_back(process.steal())
    process.claim(0)
    process.holdings.settle()

    assert statuses(handles) == {JobStatus.PENDING}
    assert (len(process.inbox), process.holdings.held) == (0, 0)


def test_what_the_supervisor_took_is_not_started_after_a_lost_answer(process):
    handles = jobs.add.delay_many([(1, 1)] * 4)
    process.claim_ahead(3)
    taken = process.steal()
    break_the_connection()

    assert isinstance(process.claim(0).trouble, redis.ConnectionError)
    process.claim(0)

    # The supervisor hands it back whenever Redis answers it: maybe only now.
    assert process.inbox.take() is None
    process.hand_back(taken)
    process.holdings.settle()
    assert statuses(handles) == {JobStatus.PENDING}
    assert process.claim(4).jobs == 4


def test_what_was_expected_is_started_after_a_lost_answer(process):
    jobs.add.delay_many([(1, 1)] * 4)
    process.claim_ahead(3)
    process.inbox.take_all()
    break_the_connection()

    trouble = process.claim(0, expected=True).trouble

    assert isinstance(trouble, redis.ConnectionError)
    assert process.claim(0).jobs == 3
    assert len(process.inbox) == 3


def test_nothing_is_claimed_ahead_of_what_others_took(process):
    jobs.add.delay_many([(1, 1)] * 8)
    process.claim_ahead(2)
    taken = process.steal()

    assert process.claim(2, ahead=lambda _came: 2).jobs == 2

    # Else there would be an announcement behind them.
    assert len(process.steal()) == 2
    process.hand_back(taken)


def test_nothing_is_claimed_ahead_where_another_group_may_come_first(of_two_groups):
    for queue in ("default", "low"):
        jobs.add.using(queue=queue).delay_many([(1, 1)] * 4)

    assert of_two_groups.claim(2, ahead=lambda _came: 2).jobs == 2

    assert len(of_two_groups.steal()) == 2


def test_no_other_group_is_claimed_from_beside_what_runs_alone(of_two_groups):
    suspect = jobs.add.delay(1, 1)
    crash_twice("default")
    jobs.add.using(queue="low").delay_many([(1, 1)] * 4)

    assert of_two_groups.claim(4, fresh=True).jobs == 1

    assert of_two_groups.holdings.exclusive
    assert [job.id for _, job, _ in of_two_groups.inbox.take_all()] == [suspect.id]


def test_what_the_supervisor_took_is_forgotten_with_the_lease(process):
    jobs.add.delay_many([(1, 1)] * 3)
    process.claim(3)
    process.steal()
    perform(
        connections.worker_client(),
        rescue(
            conf.keys_for("default"),
            process.board.worker,
            running={},
            reason="lost",
            max_crashes=3,
            keep=DEFAULT_KEEP,
        ),
    )

    with pytest.raises(LeaseLost):
        process.claim(0)
    process.holdings.give_up()
    process.holdings.register({})

    assert len(process.inbox) == 0


def test_trouble_with_one_group_leaves_the_others_jobs(of_two_groups):
    process = of_two_groups
    handles = [jobs.add.using(queue="low").delay(1, 1) for _ in range(9)]
    answering = connections.worker_client()
    away = process.holdings._stations[0]._consumer
    away._client = Away()

    claim = process.claim(2)

    assert (claim.jobs, len(process.inbox)) == (2, 2)
    assert isinstance(claim.trouble, redis.ConnectionError)
    process.inbox.take_all()
    away._client = answering
    assert process.claim(9).trouble is None
    assert process.holdings.held == len(handles)


class Away:
    def execute_command(self, *_command, **_options):
        raise redis.ConnectionError("away")


class Slow:
    """Takes all the time that there is; ``asked``: for how long it was asked in time."""

    def __init__(self, board):
        self.asked = []
        self._board = board
        self._client = connections.worker_client()

    def execute_command(self, *command, **options):
        self.asked.append(self._board.cells[DEADLINE] - monotonic())
        self._board.cells[DEADLINE] = 0.0
        return self._client.execute_command(*command, **options)


def test_each_group_has_the_time_of_a_step(of_two_groups, monkeypatch):
    process, slow = of_two_groups, Slow(of_two_groups.board)
    handles = [jobs.add.using(queue=each).delay(1, 1) for each in ("default", "low")]
    monkeypatch.setattr(connections, "worker_client", lambda: slow)

    process.holdings.register({})
    assert process.claim(2).jobs == 2
    process.holdings.hand_back()
    process.holdings.settle(stepping=True)

    assert len(slow.asked) == 6
    assert min(slow.asked) > 50
    assert statuses(handles) == {JobStatus.PENDING}


def test_who_settles_while_jobs_run_leaves_the_deadline_alone(process):
    jobs.add.delay(1, 1)
    process.claim(1)
    process.holdings.hand_back()
    process.board.cells[DEADLINE] = 5.0

    process.holdings.settle(probe=True)

    assert process.board.cells[DEADLINE] == 5.0


def test_only_groups_that_answer_are_waited_for(of_two_groups):
    process = of_two_groups
    (first, second) = process.holdings._stations
    first._consumer._client = Away()

    process.claim(1)

    assert process.holdings.wake_keys == second.wake_keys
    first._consumer._client = connections.worker_client()
    process.claim(1)
    assert process.holdings.wake_keys == first.wake_keys + second.wake_keys
