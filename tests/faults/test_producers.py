"""Producers that die while they enqueue, and such as are never answered."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from django.test import override_settings

from django_redisjobs import JobStatus, connections, get_job
from django_redisjobs.exceptions import EnqueueError
from tests.faults.harness import QUEUES, Site
from tests.faults.jobs import work
from tests.faults.proxy import HANG_UP, Message, Proxy


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_each_message(
    open_site: Callable[..., Site], proxy: Proxy, moment: str
) -> None:
    """What was acknowledged is there, and what was sent in one call as a whole."""
    site = open_site(url=proxy.url)
    processes = 8
    order: list[int] = []

    def strike(message: Message) -> bool:
        """The first process dies at its first message, the second at its second …"""
        if message.pid not in order:
            order.append(message.pid)
        if message.number != order.index(message.pid) + 1:
            return False
        os.kill(message.pid, signal.SIGKILL)
        return True

    if moment == "before":
        proxy.before = lambda message: HANG_UP if strike(message) else None
    else:
        proxy.after = lambda message: not strike(message)
    told = site.produce(processes)
    numbers = site.adopt()

    assert len(numbers) == len(set(numbers))
    assert told <= set(numbers)
    for first in range(0, processes * 5, 5):
        assert len({first + 1, first + 2, first + 3} & set(numbers)) in (0, 3)
    # The first ones died before they sent a job, the last one came through.
    assert told
    assert 0 not in numbers
    assert processes * 5 - 1 in told
    proxy.calm()
    site.start_worker("--processes", "1")
    assert not site.complaints()


@pytest.fixture
def through_proxy(proxy: Proxy) -> Iterator[None]:
    """This process enqueues, through the proxy."""
    with override_settings(REDISJOBS={"URL": proxy.url, "QUEUES": list(QUEUES)}):
        yield
    connections.forget()


@pytest.mark.usefixtures("through_proxy")
def test_a_lost_answer_makes_no_second_job(site: Site, proxy: Proxy) -> None:
    """It ran, and nobody was told: the call is repeated, and Redis knows the ids."""
    site.add([0])  # so that Redis knows the script
    sent: list[Message] = []

    def lose_every_other(message: Message) -> bool:
        if message.name != "enqueue":
            return True
        sent.append(message)
        return len(sent) % 2 == 0

    proxy.after = lose_every_other
    work.delay(1, 0)
    work.delay_many([(2, 0), (3, 0), (4, 0)])

    assert len(sent) == 4
    assert site.adopt() == [0, 1, 2, 3, 4]
    site.start_worker("--processes", "1")
    assert not site.complaints()


@pytest.mark.usefixtures("through_proxy")
def test_who_is_never_answered_is_told_so(site: Site, proxy: Proxy) -> None:
    """Nobody can know then; the error does not pretend to."""
    site.add([0])  # so that Redis knows the script
    proxy.after = lambda message: message.name != "enqueue"

    with pytest.raises(EnqueueError, match="may or may not have been enqueued") as hit:
        work.delay(1, 0)

    (job_id,) = hit.value.job_ids
    assert get_job(job_id).status() is JobStatus.PENDING
    assert site.adopt() == [0, 1]
