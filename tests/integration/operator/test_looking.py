"""``stats``, ``ls``, ``show`` and ``workers``: what people and programs see."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.core.management.color import no_style
from django.test import override_settings
from django.utils import timezone

from django_redisjobs import get_queue
from django_redisjobs.core.records import JobStatus, NewJob, new_id
from django_redisjobs.management.operator import listing, selection
from django_redisjobs.management.operator.stats import take
from django_redisjobs.management.operator.watch import watch
from django_redisjobs.testing import run_jobs
from tests.integration.core.store import Store, attempt
from tests.integration.operator.conftest import Operator
from tests.integration.operator.jobs import add, fail, later

pytestmark = pytest.mark.usefixtures("redisjobs")
ADD = add.path


@pytest.fixture
def every_status(store: Store) -> dict[str, str]:
    """One job of each status in queue ``high``: status -> id."""
    worker = store.worker("high")
    found = {}
    for kind in ("succeeded", "failed", "cancelled", "parked"):
        (found[kind],) = store.add("high")
        worker.settle(*worker.claim(), kind=kind)
    (found["expired"],) = store.add("high", ttl_ms=0)
    worker.claim()
    (found["running"],) = store.add("high")
    worker.claim()
    (found["pending"],) = store.add("high")
    (found["scheduled"],) = store.add("high", delay_ms=600_000)
    return found


@pytest.mark.parametrize("due_ms", [253_402_300_799_999, 2**53 - 10])
def test_a_job_that_is_due_when_dates_have_ended(
    operator: Operator, store: Store, due_ms: int
):
    (job_id,) = store.add("high", due_ms=due_ms, ttl_ms=1)

    with timezone.override("Asia/Tokyo"):
        assert "due 9999" in operator("ls")
        assert "9999" in operator("show", job_id)
        assert operator.json("show", job_id)["due_at"].startswith("9999-12-30")


# -- stats -----------------------------------------------------------------------------


def test_stats_counts_every_status(operator: Operator, every_status: dict[str, str]):
    document = operator.json("stats")

    high, default, low = document["queues"]
    assert [high["queue"], default["queue"], low["queue"]] == ["high", "default", "low"]
    assert [high[status] for status in JobStatus] == [1] * 8
    assert [default[status] for status in JobStatus] == [0] * 8
    assert document["workers"] == {"alive": 1, "dead": 0}
    assert high["per_minute"] == pytest.approx(2, abs=0.5)
    assert high["oldest_waits_seconds"] >= 0
    assert high["paused"] is None


def test_what_people_wrote_does_not_steer_the_terminal(operator: Operator):
    get_queue("low").pause("\x1b]52;c;bWFk\x07", by="\x1b[2J")

    assert "\x1b" not in operator("stats")
    assert r"by \x1b[2J until resumed: \x1b]52" in operator("stats")


def test_what_people_wrote_can_be_printed(operator: Operator):
    get_queue("low").pause("\udce9", by="\udce9")

    assert r"by \udce9 until resumed: \udce9" in operator("stats")
    assert operator.json("stats")["queues"][-1]["paused"]["by"] == r"\udce9"


def test_stats_for_people(operator: Operator, every_status: dict[str, str]):
    get_queue("low").pause("bank is down", by="anna", for_="10m")

    text = operator("stats")

    assert re.search(r"^queue +pending +oldest +running", text)
    assert re.search(r"^high +1 ", text, re.MULTILINE)
    assert "low (paused)" in text
    assert re.search(r"low is paused since .* by anna until .*: bank is down", text)
    assert "Workers: 1 (1 process)" in text
    # Columns of what is nowhere are left out.
    assert "expired" in text


def test_stats_tell_how_long_jobs_waited_and_ran(operator: Operator, store: Store):
    worker = store.worker("high")
    for ran_ms in (0, 2, 3):
        store.add("high")
        (claimed,) = worker.claim()
        started_ms = claimed.enqueued_ms + 1
        ended_ms = started_ms + ran_ms
        worker.settle(claimed, started_ms=started_ms, finished_ms=ended_ms)

    text = operator("stats")

    assert re.search(r"^last hour +runs +wait p50 .* run p99$", text, re.MULTILINE)
    times = r" +1 ms" * 3 + r" +2 ms +3 ms +3 ms"
    assert re.search(rf"^high +3{times}$", text, re.MULTILINE)
    # Queues in which nothing ran are left out.
    assert len(re.findall(r"^default ", text, re.MULTILINE)) == 1


def test_stats_of_an_empty_store(operator: Operator):
    text = operator("stats")

    assert "Workers: none." in text
    assert "parked" not in text
    assert "last hour" not in text


def test_stats_shows_queues_that_the_settings_lack(operator: Operator, store: Store):
    store.add("forgotten")

    assert operator.json("stats")["queues"][-1]["queue"] == "forgotten"


def test_a_dead_worker_is_told_apart(operator: Operator, store: Store):
    dead = store.worker("high")
    store.end_lease(dead)

    assert operator.json("stats")["workers"] == {"alive": 0, "dead": 1}
    assert "1 dead, to be rescued" in operator("stats")
    assert "dead, lease over" in operator("workers")


# -- watching ----------------------------------------------------------------------------


class Screen:
    """A terminal of so many columns and lines, as ``watch`` sees it."""

    def __init__(self, *, tty: bool, rows: int = 30) -> None:
        self.is_interactive = tty
        self.size = (60, rows)
        self.style = no_style()
        self.written: list[str] = []

    def line(self, text: str = "", paint: Any = None) -> None:
        self.written.append(text + "\n")

    def raw(self, text: str) -> None:
        self.written.append(text)


class Looks:
    """Something to watch that ends the watching at the third look."""

    def __init__(self, *lines: str) -> None:
        self.ended = threading.Event()
        self.lines = lines
        self.count = 0

    def __call__(self) -> list[str]:
        self.count += 1
        if self.count == 3:
            self.ended.set()
        return [f"{line} {self.count}" for line in self.lines]


def test_a_live_view_is_redrawn_in_place():
    screen, looks = Screen(tty=True), Looks("a", "b")

    watch(screen, looks, 0.001, ended=looks.ended)  # type: ignore[arg-type]

    first, second, third = screen.written
    assert first == "a 1\x1b[K\nb 1\x1b[K\n\x1b[J"
    assert second == "\x1b[2Fa 2\x1b[K\nb 2\x1b[K\n\x1b[J"
    assert third.startswith("\x1b[2Fa 3")


def test_a_live_view_fits_the_terminal():
    screen, looks = Screen(tty=True, rows=4), Looks("x" * 200, *"abcdef")

    watch(screen, looks, 0.001, ended=looks.ended)  # type: ignore[arg-type]

    shown = screen.written[1].removeprefix("\x1b[3F").split("\x1b[K\n")
    assert shown == ["x" * 59, "a 2", "b 2", "\x1b[J"]


def test_without_a_terminal_the_view_is_repeated():
    screen, looks = Screen(tty=False), Looks("a")

    watch(screen, looks, 0.001, ended=looks.ended)  # type: ignore[arg-type]

    assert screen.written == ["a 1\n", "\n", "a 2\n", "\n", "a 3\n", "\n"]


def test_ctrl_c_ends_the_view_quietly():
    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    watch(Screen(tty=True), interrupted, 0.001)  # type: ignore[arg-type]


def test_watching_and_json_are_refused(operator: Operator):
    with pytest.raises(CommandError, match="choose"):
        operator("stats", "--watch", "--json")


# -- ls ------------------------------------------------------------------------------------


def test_ls_shows_each_status(operator: Operator, every_status: dict[str, str]):
    listed = {job["status"]: job["id"] for job in operator.json("ls")["jobs"]}

    assert listed == every_status
    for status, job_id in every_status.items():
        assert operator("ls", status, "--ids").split() == [job_id]
    assert "no such function" in operator("ls", "parked")
    assert set(operator("ls", "failed", "parked", "--ids").split()) == {
        every_status["failed"],
        every_status["parked"],
    }


def test_a_job_that_waits_for_its_retry_is_shown_with_its_time(operator: Operator):
    handle = fail.delay("no")
    run_jobs(raise_errors=False)

    (listed,) = operator.json("ls", "scheduled")["jobs"]
    shown = operator.json("show", handle.id)

    due = handle.info().due_at
    assert due is not None
    assert listed["due_at"] == shown["due_at"] == due.isoformat(timespec="milliseconds")
    assert "due" in operator("ls", "scheduled")
    assert "  due " in operator("show", handle.id)


def test_ls_filters_by_queue_and_function(operator: Operator):
    wanted = add.delay(1)
    add.using(queue="low").delay(1)
    later.delay()

    assert operator("ls", "--function", ADD, "--queue", "default", "--ids").split() == [
        wanted.id
    ]
    assert len(operator("ls", "--function", ADD, "--ids").split()) == 2
    assert "No jobs." in operator("ls", "--function", "shop.jobs.other")


def test_ls_filters_by_time(operator: Operator, store: Store):
    old, new = store.add("high", 2)
    worker = store.worker("high")
    jobs = worker.claim(2)
    worker.settle(jobs[0], kind="failed", finished_ms=store.now_ms() - 7_200_000)
    worker.settle(jobs[1], kind="failed")

    assert operator("ls", "failed", "--since", "1h", "--ids").split() == [new]
    assert operator("ls", "failed", "--since", "3h", "--ids").split() == [new, old]
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    listed = operator("ls", "failed", "--since", hour_ago.isoformat(), "--ids")
    assert listed.split() == [new]
    with pytest.raises(CommandError, match="no time"):
        operator("ls", "--since", "yesterday")


def test_ls_shows_the_newest_and_stops_at_its_limit(operator: Operator, store: Store):
    added = store.add("high", 5)
    worker = store.worker("high")
    for job in worker.claim(5):
        worker.settle(job, finished_ms=job.claimed_ms + added.index(job.id))

    listed = operator("ls", "succeeded", "--limit", "2", "--ids").split()

    assert listed == added[:2:-1]


@pytest.mark.parametrize(
    "older",
    [{}, {"delay_ms": 60_000}, {"priority": 5}, {"priority": -5}],
    ids=["pending", "scheduled", "before the others", "behind them"],
)
def test_ls_shows_the_newest_of_what_waits(
    operator: Operator,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    older: dict[str, Any],
):
    monkeypatch.setattr(selection, "PAGE", 5)
    store.add("high", 14, **older)
    (ready,) = store.add("high")
    (due_last,) = store.add("high", delay_ms=3_600_000)

    assert operator("ls", "--limit", "2", "--ids").split() == [due_last, ready]
    assert operator.notices == ""


def test_ls_shows_what_is_due_first_of_all_queues(operator: Operator, store: Store):
    later, last = (store.add("high", delay_ms=ms)[0] for ms in (3_600_000, 7_200_000))
    (first,) = store.add("low", delay_ms=60_000)
    (again,) = store.add("default")
    worker = store.worker("default")
    worker.settle(*worker.claim(), kind="retry", delay_ms=600_000)

    listed = operator("ls", "scheduled", "--ids").split()

    assert listed == [first, again, later, last]
    assert operator("ls", "scheduled", "scheduled", "--ids").split() == listed
    assert operator("ls", "scheduled", "--ids", "--limit=1").split() == [first]


def test_ls_says_that_scheduled_jobs_may_hide_newer_ones(
    operator: Operator, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(selection, "PAGE", 5)
    monkeypatch.setattr(listing, "LOOKED_AT", 10)
    store.add("high", 11, delay_ms=60_000)

    operator("ls", "scheduled", "pending", "--limit", "2")
    assert "Only a part was looked at" in operator.notices
    operator("ls", "scheduled", "--limit", "2")
    assert operator.notices == ""


@pytest.mark.parametrize("limit", ["0", "-3", "many"])
def test_ls_refuses_a_limit_that_is_none(operator: Operator, limit: str):
    with pytest.raises(CommandError, match="no number of 1 or more"):
        operator("ls", f"--limit={limit}")


def test_ls_says_when_it_did_not_look_at_all(
    operator: Operator, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(selection, "PAGE", 5)
    monkeypatch.setattr(listing, "LOOKED_AT", 10)
    wanted = add.using(queue="high").delay(1).id
    store.add("high", 30)

    text = operator("ls", "pending", "--queue", "high", "--function", "nowhere.at.all")

    assert "No jobs." in text
    assert "Only a part was looked at" in operator.notices
    assert operator.json("ls", "pending", "--function", "no")["cut"] is True
    assert operator("ls", "pending", "--function", ADD, "--ids").split() == [wanted]


def test_ls_looks_on_where_other_places_have_little(
    operator: Operator, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(selection, "PAGE", 5)
    monkeypatch.setattr(listing, "LOOKED_AT", 40)
    wanted = add.using(queue="high").delay(1).id
    store.add("high", 29)
    store.add("low", 2)
    # Of what waits the last is read first: the one that is wanted comes last.
    assert operator("ls", "--function", ADD, "--ids").split() == [wanted]
    assert operator.notices == ""

    store.add("high", 20)
    operator("ls", "--function", ADD)
    assert "looked at (42 jobs)" in operator.notices


def test_ls_of_a_queue_that_is_nowhere(operator: Operator):
    with pytest.raises(CommandError, match=r"no queue 'hihg'.*Did you mean 'high'"):
        operator("ls", "--queue", "hihg")


def test_ls_refuses_a_status_that_is_none(operator: Operator):
    with pytest.raises(CommandError, match="Did you mean failed"):
        operator("ls", "fialed")


# -- show ------------------------------------------------------------------------------------


def test_show_tells_all_of_a_job(operator: Operator, store: Store):
    handle = fail.delay("no money")
    worker = store.worker("high")
    (claimed,) = worker.claim()
    worker.settle(
        claimed, kind="failed", attempt=attempt(claimed, message="no \x1b[31mmoney")
    )

    text = operator("show", handle.id)

    assert re.search(r"^ +runs +1, 1 attempt, 0 crashes$", text, re.MULTILINE)
    for part in (fail.path, handle.id, "failed", "high", "'no money'", "Attempt 1"):
        assert part in text
    assert "no \\x1b[31mmoney" not in text  # only the traceback is shown of it
    assert "\x1b[31m" not in text


def test_show_for_programs(operator: Operator, store: Store):
    handle = add.using(priority=3).delay(1, b=4)
    worker = store.worker("default")
    (claimed,) = worker.claim()
    worker.settle(claimed, result="5")

    document = operator.json("show", handle.id)

    assert document["args"] == [1]
    assert document["kwargs"] == {"b": 4}
    assert (document["result"], document["priority"]) == (5, 3)
    assert (document["status"], document["runs"]) == ("succeeded", 1)
    (only,) = document["attempts"]
    assert only["outcome"] == "succeeded"
    datetime.fromisoformat(document["finished_at"])


def test_show_of_what_utf_8_cannot_carry(operator: Operator, store: Store):
    job_id = new_id()
    store.enqueue(NewJob(job_id, "high", r'["f",[1],{"\ud800":"\ud800"}]'))
    worker = store.worker("high")
    (claimed,) = worker.claim()
    worker.settle(claimed, progress=r'{"done":1,"message":"\udce9"}')

    assert operator("show", job_id).encode()
    operator("show", job_id, "--json")
    assert operator.printed.encode()
    assert json.loads(operator.printed)["progress"]["message"] == r"\udce9"


@pytest.mark.parametrize("words", ["show", "run", "cancel", "retry", "move --to low"])
def test_an_id_that_is_not_utf_8_is_refused(operator: Operator, words: str):
    # So Python reads the byte 255 of a command line.
    with pytest.raises(CommandError, match=r"'\\udcff' is no id: it is not UTF-8"):
        operator(*words.split(), "\udcff")


def test_show_of_what_nobody_can_read(operator: Operator, store: Store):
    job_id = new_id()
    store.enqueue(NewJob(job_id, "high", "garbage"))

    assert "garbage" in operator("show", job_id)
    assert operator.json("show", job_id)["function"] is None


def test_show_of_a_progress_that_nobody_can_read(operator: Operator, store: Store):
    (job_id,) = store.add("high")
    worker = store.worker("high")
    worker.claim()
    store.client.hset(store.keys.state(job_id), "progress", "half of it")

    assert "progress   half of it\n" in operator("show", job_id)


def test_show_of_what_redis_does_not_know(operator: Operator):
    with pytest.raises(CommandError, match="knows no job 'nope'"):
        operator("show", "nope")


# -- workers -----------------------------------------------------------------------------------


def test_workers_are_shown_with_what_they_hold(operator: Operator, store: Store):
    (held,) = store.add("high")
    store.worker("high", name="w7").claim()

    text = operator("workers")
    (document,) = operator.json("workers")["workers"]

    assert re.search(r"w7 +here +1 .*alive +1", text)
    assert document["holds"] == [held]
    assert document["alive"] is True


def test_no_workers(operator: Operator):
    assert "No worker runs" in operator("workers")
    assert operator.json("workers") == {"workers": []}


# -- the command itself --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("stats",),
        ("stats", "--no-color"),
        ("stats", "-v", "2"),
        ("stats", "--settings=tests.settings"),
    ],
)
def test_djangos_own_options_may_stand_behind_the_action(
    operator: Operator, words: tuple[str, ...]
):
    assert "Redis:" in operator(*words)


def test_no_action_is_an_error(operator: Operator):
    with pytest.raises(CommandError, match="ACTION"):
        operator()


def test_redis_away_is_one_clear_error(redisjobs: dict[str, Any]):
    url = "unix:///nonexistent/socket"
    screen, ended = Screen(tty=False), threading.Event()
    ended.set()
    with override_settings(REDISJOBS={**redisjobs, "URL": url}):
        with pytest.raises(CommandError, match="/nonexistent/socket"):
            Operator()("stats")
        # The live view goes on, and says so.
        watch(screen, lambda: [str(take())], 0.001, ended=ended)  # type: ignore[arg-type]
    assert "/nonexistent/socket" in screen.written[0]


def test_json_is_one_document(operator: Operator, every_status: dict[str, str]):
    for words in (("stats",), ("ls",), ("workers",), ("show", every_status["failed"])):
        json.loads(operator(*words, "--json"))


# -- in a process of its own ---------------------------------------------------------------------


CODE = """
import sys
from tests import settings
settings.REDISJOBS = {redisjobs!r}
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "redisjobs", *sys.argv[1:]])
"""


def start(
    redisjobs: dict[str, Any], *words: str, stdout: Any
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CODE.format(redisjobs=redisjobs), *words],
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "TERM": "xterm"},
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def test_a_live_view_on_a_terminal_ends_cleanly_at_ctrl_c(redisjobs: dict[str, Any]):
    ours, theirs = os.openpty()
    command = start(redisjobs, "stats", "--watch", "0.1", stdout=theirs)
    os.close(theirs)
    shown = b""
    # Two views: the second is drawn over the first.
    while shown.count(b"Redis:") < 2:
        shown += os.read(ours, 10_000)
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=20)
    os.close(ours)

    assert (command.returncode, errors) == (0, b"")
    assert b"\x1b[7F" in shown


def test_a_reader_who_leaves_is_no_error(redisjobs: dict[str, Any], store: Store):
    store.add("high", 300)
    ours, theirs = os.pipe()
    os.close(ours)
    command = start(redisjobs, "ls", "--limit", "300", stdout=theirs)
    os.close(theirs)
    _, errors = command.communicate(timeout=20)

    assert (command.returncode, errors) == (0, b"")


def test_exit_statuses_are_djangos_own(redisjobs: dict[str, Any]):
    for words, status, text in (
        (("show", "nope"), 1, b"CommandError: Redis knows no job"),
        (("ls", "nope"), 2, b"is no status"),
        ((), 2, b"ACTION"),
    ):
        command = start(redisjobs, *words, stdout=subprocess.DEVNULL)
        _, errors = command.communicate(timeout=20)
        assert command.returncode == status
        assert text in errors


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_output_that_cannot_carry_all_characters(
    redisjobs: dict[str, Any], store: Store, encoding: str
):
    (job_id,) = store.add("low", body='["shop.jobs.send",["\\u65e5 \\u00e9"],{}]')

    def printed(*words: str) -> str:
        memory = io.BytesIO()
        output = io.TextIOWrapper(memory, encoding=encoding)
        call_command("redisjobs", *words, stdout=output)
        output.flush()
        return memory.getvalue().decode(encoding)

    assert "\\u65e5" in printed("show", job_id)
    assert json.loads(printed("show", job_id, "--json"))["args"] == ["\u65e5 \u00e9"]
