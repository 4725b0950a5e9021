"""kill -9 at each message to Redis: before it is sent, and when it has been obeyed but
nobody was told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import pytest

from django_redisjobs.core import operations
from django_redisjobs.core.records import JobStatus
from django_redisjobs.core.scripts import perform
from tests.faults.experiments import blocked
from tests.faults.harness import KEEP, KEYS, Site, Worker, is_alive
from tests.faults.proxy import HANG_UP, Message, Proxy

MOMENTS = ("before", "after")
# Nobody here dies young by mistake: no use in waiting longer each time.
IMPATIENT = "django_redisjobs.worker.supervisor.LONGEST_RESTART_SECONDS=0.05"


@dataclass
class Strike:
    """Kills the process that sends a certain message, once."""

    site: Site
    proxy: Proxy
    moment: str
    is_meant: Callable[[Message], bool]
    struck: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.proxy.calm()
        if self.moment == "before":
            self.proxy.before = lambda message: HANG_UP if self._hit(message) else None
        else:
            self.proxy.after = lambda message: not self._hit(message)

    def _hit(self, message: Message) -> bool:
        if self.struck or not self.is_meant(message):
            return False
        try:
            sender = psutil.Process(message.pid)
        except psutil.NoSuchProcess:
            # Words of one that was struck before: they were on their way.
            return False
        self.struck.append(message)
        self.site.kill([sender])
        return True

    def wait(self) -> Message:
        """Until it has struck; there is work meanwhile."""

        def has_struck() -> bool:
            if not self.struck:
                self.site.add([0.005])
            return bool(self.struck)

        self.site.until(has_struck, "a process was killed at its message")
        return self.struck[0]


def open_worker(site: Site, proxy: Proxy) -> Worker:
    site.url = proxy.url
    worker = site.start_worker("--processes", "1", FAULTS_PATCHES=IMPATIENT)
    site.wait_registered(1)
    # Who has said nothing yet would be taken for the next one's successor.
    liaison = site.liaison(worker)
    site.until(lambda: liaison.pid in proxy.pids, "the liaison talks to Redis")
    return worker


def child_of(site: Site, worker: Worker, liaison: psutil.Process) -> psutil.Process:
    """The one process that runs jobs, once there is one."""

    def find() -> psutil.Process | None:
        others = [one for one in site.family(worker) if one != liaison]
        return others[0] if len(others) == 1 and is_alive(others[0]) else None

    found: psutil.Process = site.until(find, "there is a child")
    return found


def strike_successor(
    site: Site, proxy: Proxy, moment: str, old: psutil.Process, number: int
) -> str:
    """Kill a process, and the one that takes its place at its so manieth message."""
    known = proxy.pids
    strike = Strike(
        site,
        proxy,
        moment,
        lambda message: message.number == number and message.pid not in known,
    )
    site.kill([old])
    return strike.wait().name


def kill_children(site: Site, proxy: Proxy, moment: str, messages: int) -> None:
    worker = open_worker(site, proxy)
    liaison = site.liaison(worker)
    struck = [
        strike_successor(site, proxy, moment, child_of(site, worker, liaison), number)
        for number in range(1, messages + 1)
    ]

    print(*struck)  # noqa: T201 - which messages these were
    assert {"register", "step"} <= set(struck)
    assert not site.complaints()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_child_at_its_first_messages(site: Site, proxy: Proxy, moment: str) -> None:
    """It says who it is, registers, claims, settles, and claims again."""
    kill_children(site, proxy, moment, 8)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_child_at_each_of_many_messages(
    site: Site, proxy: Proxy, moment: str
) -> None:
    """It falls asleep between jobs, too, and is woken."""
    kill_children(site, proxy, moment, 40)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_liaison_at_its_first_messages(site: Site, proxy: Proxy, moment: str) -> None:
    """Jobs run on meanwhile: none may run twice."""
    worker = open_worker(site, proxy)
    child = child_of(site, worker, site.liaison(worker))
    struck = []
    for number in range(1, 13):
        liaison = child_of(site, worker, child)
        struck.append(strike_successor(site, proxy, moment, liaison, number))
    print(*struck)  # noqa: T201 - which messages these were

    assert {"beat", "BLPOP"} <= set(struck)
    assert not site.complaints()
    assert site.history().reruns == 0


@pytest.mark.parametrize(
    "moment", [pytest.param("before", marks=pytest.mark.slow), "after"]
)
def test_a_liaison_that_rescues(site: Site, proxy: Proxy, moment: str) -> None:
    """A child dies within a job, and the liaison as it brings that back."""
    open_worker(site, proxy)
    (number,) = site.add([0.5])
    pid = site.wait_started(number).pid
    strike = Strike(site, proxy, moment, lambda message: message.name == "rescue")
    site.kill([psutil.Process(pid)])
    strike.wait()

    assert not site.complaints()
    assert site.record(number).crashes == 1
    assert site.record(number).run == 2


def test_a_liaison_that_hears_of_a_cancelling(site: Site, proxy: Proxy) -> None:
    """The message was taken from Redis and died with its reader; the job is cancelled
    all the same.
    """
    worker = open_worker(site, proxy)
    liaison = site.liaison(worker).pid
    (number,) = site.add([600.0])
    site.wait_started(number)
    site.until(lambda: blocked(site) == 1, "the liaison waits for messages")
    Strike(
        site,
        proxy,
        "after",
        lambda message: message.pid == liaison and message.name == "BLPOP",
    )

    perform(site.client, operations.cancel_many(KEYS, [site.ids[number]], keep=KEEP))

    site.until(
        lambda: site.record(number).status is JobStatus.CANCELLED, "it is cancelled"
    )
    assert site.stop() == [0]
    assert site.history().reruns == 0
