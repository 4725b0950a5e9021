"""What people do to jobs, queues and workers by the command."""

from __future__ import annotations

import getpass
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.test import override_settings

from django_redisjobs import JobStatus, calls, get_job, get_queue
from django_redisjobs.core import operations
from django_redisjobs.exceptions import ServerUnavailable
from django_redisjobs.management.operator import bulk, pausing
from django_redisjobs.monitoring import staff
from tests.integration.core.places import Places
from tests.integration.core.store import Store
from tests.integration.operator.conftest import Operator
from tests.integration.operator.jobs import add, fail, later

pytestmark = pytest.mark.usefixtures("redisjobs")
ADD = add.path
Answers = Callable[[str], list[str]]
Look = Callable[[], Places]


def fail_some(store: Store, number: int, queue: str = "high") -> list[str]:
    added = store.add(queue, number)
    worker = store.worker(queue)
    while jobs := worker.claim(number):
        worker.settle(*jobs, kind="failed")
    return added


# -- enqueue -----------------------------------------------------------------------------


def test_enqueue_takes_json_and_text(operator: Operator):
    for words, args in (
        (["5", "7"], (5, 7)),
        (["-5", "1.5"], (-5, 1.5)),
        (["[1, 2]", '{"a": null}'], ([1, 2], {"a": None})),
        (["anna@example.com", '"5"'], ("anna@example.com", "5")),
    ):
        job_id = operator.json("enqueue", ADD, *words)["id"]
        assert get_job(job_id).info().args == args


def test_enqueue_says_which_job_it_is(operator: Operator):
    text = operator("enqueue", ADD, "1", "--kwargs", '{"b": 3}', "--priority", "9")

    (job_id,) = re.findall(r"is job (\w+) in queue default", text)
    info = get_job(job_id).info()
    assert (info.kwargs, info.priority, info.queue) == ({"b": 3}, 9, "default")


def test_enqueue_for_later(operator: Operator):
    soon = operator.json("enqueue", ADD, "1", "--in", "5m", "--queue", "low")["id"]
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    then = operator.json("enqueue", ADD, "1", "--at", at.isoformat())["id"]

    assert get_job(soon).status() is JobStatus.SCHEDULED
    assert get_job(soon).info().queue == "low"
    assert get_job(then).info().due_at == at


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shop.jobs.nothing", "1"], "cannot be imported"),
        ([f"{ADD}s"], r"Did you mean tests\.integration"),
        ([ADD], "missing a required argument: 'a'"),
        ([ADD, "1", "2", "3"], "too many positional"),
        ([ADD, "[1"], "no JSON"),
        ([ADD, "1", "--kwargs", "[1]"], "no JSON object"),
        ([ADD, "1", "--queue", "hihg"], "Did you mean 'high'"),
        ([ADD, "1", "--priority", "101"], "100"),
        ([ADD, "1", "--in", "soon"], "not a duration"),
        ([ADD, "1", "--at", "soon"], "is no time"),
        ([ADD, "1", "--in", "1m", "--at", "18:00"], "not allowed with"),
    ],
)
def test_what_cannot_be_enqueued(operator: Operator, words: list[str], message: str):
    with pytest.raises(CommandError, match=message):
        operator("enqueue", *words)

    assert operator("ls", "--ids") == ""


# -- retry, cancel, delete ------------------------------------------------------------------


def test_a_broken_app_keeps_nobody_from_enqueueing(operator: Operator, broken_app: str):
    assert operator.json("enqueue", ADD, "1")["function"] == ADD
    assert operator.notices.startswith(f"{broken_app} cannot be imported: KeyError")

    with pytest.raises(CommandError, match="its module cannot be imported: KeyError"):
        operator("enqueue", f"{broken_app}.pay")


def test_retry_by_id(operator: Operator, store: Store):
    failed, other = fail_some(store, 2)

    assert f"{failed}: pending again" in operator("retry", failed)

    assert store.status(failed) is JobStatus.PENDING
    assert store.status(other) is JobStatus.FAILED


def test_retry_runs_scheduled_jobs_now(operator: Operator, look: Look):
    job_id = add.using(run_after="1h").delay(1).id

    document = operator.json("retry", job_id)

    assert document["jobs"] == [{"id": job_id, "outcome": "pending"}]
    assert look().status[job_id] is JobStatus.PENDING


def test_retry_all_that_failed_of_a_function(operator: Operator, store: Store):
    others = fail_some(store, 3)
    wanted = [fail.delay(f"{number}").id for number in range(3)]
    worker = store.worker("high")
    for job in worker.claim(9):
        worker.settle(job, kind="failed")

    text = operator("retry", "--function", fail.path)

    assert text == "3 pending again\n"
    assert {store.status(one) for one in wanted} == {JobStatus.PENDING}
    assert {store.status(one) for one in others} == {JobStatus.FAILED}


def test_a_function_without_a_name_is_not_all_of_them(operator: Operator, store: Store):
    store.add("high", 2)

    with pytest.raises(CommandError, match="--function: it is empty"):
        operator("cancel", "--queue", "high", "--function", "", "--yes")


def test_bulk_works_in_chunks_over_all_pages(operator: Operator, store: Store):
    added = fail_some(store, 1_203, "low")

    assert operator("retry", "--all") == "1,203 pending again\n"

    assert get_queue("low").depth() == len(added)


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), ServerUnavailable("away")])
def test_who_is_interrupted_learns_how_far_it_came(
    operator: Operator,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    trouble: BaseException,
):
    fail_some(store, 30, "low")
    chunks = iter([None, None, trouble])

    def ask(conversation: Any) -> Any:
        # The first two are those that find the jobs.
        found = next(chunks, None) if operations.CHUNK == 10 else None
        if found is not None:
            raise found
        return calls.ask(conversation)

    monkeypatch.setattr(operations, "CHUNK", 10)
    monkeypatch.setattr(bulk, "ask", ask)

    with pytest.raises(CommandError):
        operator("retry", "--all")

    assert "Only 10 of 30 jobs were dealt with" in operator.notices
    assert get_queue("low").depth() == 10
    # The same command does the rest.
    assert operator("retry", "--all") == "20 pending again\n"


def test_the_question_is_seen_where_the_output_is_not(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    later.delay()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)

    assert operator("purge", "low") == "1 job of low deleted.\n"

    assert "for ever? [y/N]" in capsys.readouterr().err


def test_a_misspelt_function_is_told(operator: Operator):
    wanted = ADD.replace("add", "ad")
    add.delay(1)

    assert operator("cancel", "--function", wanted, "--yes") == "No jobs match.\n"
    assert f"Did you mean {ADD}?" in operator.notices
    assert operator("ls", "--function", wanted) == "No jobs.\n"
    assert f"Did you mean {ADD}?" in operator.notices
    # Of one that is right nothing is said, nor of one whose jobs are there.
    operator("ls", "failed", "--function", ADD)
    assert operator.notices == ""


def test_cancel_by_id_asks_nothing(operator: Operator):
    handle = later.delay()

    assert f"{handle.id}: cancelled" in operator("cancel", handle.id)


def test_cancel_in_bulk_wants_a_yes(operator: Operator, answers: Answers):
    handles = [later.delay() for _ in range(3)]

    with pytest.raises(CommandError, match="--yes"):
        operator("cancel", "--queue", "low")
    asked = answers("n")
    with pytest.raises(CommandError, match="Nothing was changed"):
        operator("cancel", "--queue", "low")
    assert asked == ["Cancel 3 jobs? [y/N] "]
    assert {handle.status() for handle in handles} == {JobStatus.PENDING}
    answers("y")
    operator("cancel", "--queue", "low")

    assert {handle.status() for handle in handles} == {JobStatus.CANCELLED}


def test_cancelling_all_asks_running_ones_to_stop(operator: Operator, store: Store):
    store.add("high", 2)
    store.worker("high").claim()

    document = operator.json("cancel", "--all", "--yes")

    assert document["outcomes"] == {"cancelled": 1, "requested": 1}


def test_delete_wants_a_yes_even_for_one(operator: Operator, answers: Answers):
    handle = later.delay()

    with pytest.raises(CommandError, match="--yes"):
        operator("delete", handle.id)
    with pytest.raises(CommandError, match="--yes"):
        operator.json("delete", handle.id)
    assert handle.status() is JobStatus.PENDING
    asked = answers("yes")

    operator("delete", handle.id)

    assert asked == ["Delete this job? [y/N] "]
    with pytest.raises(CommandError, match="knows no job"):
        operator("show", handle.id)


def test_delete_all_means_what_ended(operator: Operator, store: Store):
    fail_some(store, 2)
    (waits,) = store.add("high")

    assert operator.json("delete", "--all", "--yes")["outcomes"] == {"deleted": 2}

    assert operator("ls", "--ids").split() == [waits]


@pytest.mark.parametrize("verb", ["retry", "cancel", "delete"])
def test_jobs_have_to_be_chosen_one_way(operator: Operator, verb: str):
    with pytest.raises(CommandError, match="Which jobs"):
        operator(verb)
    with pytest.raises(CommandError, match=r"Give ids or --all, not both\."):
        operator(verb, "some-id", "--all")
    with pytest.raises(CommandError, match=r"Give ids or filters, not both\."):
        operator(verb, "some-id", "--queue", "low")


def test_an_id_that_is_unknown_is_an_error_after_the_others(
    operator: Operator, store: Store
):
    (failed,) = fail_some(store, 1)

    with pytest.raises(CommandError, match="Unchanged: 1 of 2 jobs"):
        operator("retry", failed, "unknown")

    assert store.status(failed) is JobStatus.PENDING


def test_nothing_matches(operator: Operator):
    assert operator("retry", "--all") == "No jobs match.\n"


# -- move ----------------------------------------------------------------------------------


def test_move_by_filter(operator: Operator, look: Look):
    moved = [add.delay(number).id for number in range(3)]
    scheduled = add.using(run_after="1h").delay(4).id
    stays = later.delay().id

    assert operator("move", "--queue", "default", "--to", "high") == "4 moved\n"

    places = look().place
    assert {places[job_id] for job_id in moved} == {"pending:high"}
    assert places[scheduled] == "scheduled:high"
    assert places[stays] == "pending:low"


def test_move_by_id(operator: Operator, store: Store):
    (failed,) = fail_some(store, 1)
    handle = add.delay(1)

    assert operator("move", handle.id, "--to", "low") == f"{handle.id}: moved\n"
    with pytest.raises(CommandError, match="1 of 1"):
        operator("move", failed, "--to", "low")
    with pytest.raises(CommandError, match="Did you mean 'low'"):
        operator("move", handle.id, "--to", "lwo")


def test_move_to_another_group_is_refused(redisjobs: dict[str, Any]):
    queues = {"default": {}, "low": {"GROUP": "other"}}
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        handle = add.delay(1)
        with pytest.raises(CommandError, match="between groups"):
            Operator()("move", handle.id, "--to", "low")
        assert handle.info().queue == "default"


def test_what_nobody_knows_is_of_no_other_group(redisjobs: dict[str, Any]):
    queues = {"default": {}, "low": {"GROUP": "other"}}
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        operator, here, there = Operator(), add.delay(1), later.delay()

        with pytest.raises(CommandError, match="Unchanged: 1 of 2 jobs"):
            operator("move", there.id, "nope", "--to", "low")
        assert "nope: unknown" in operator.printed
        with pytest.raises(
            CommandError, match="1 of these jobs are of group 'default'"
        ):
            operator("move", "nope", here.id, "--to", "low")


def test_groups_are_asked_once_for_all_ids(redisjobs: dict[str, Any], trips: list[int]):
    queues = {"default": {}, "low": {"GROUP": "other"}}
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        handles = [*add.delay_many([(1,)] * 10), *later.delay_many([()] * 10)]
        trips.clear()

        Operator()("cancel", *(handle.id for handle in handles))

    assert len(trips) <= 4


def test_jobs_of_several_groups_at_once(redisjobs: dict[str, Any]):
    queues = {"default": {}, "low": {"GROUP": "other"}}
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        operator, handles = Operator(), [add.delay(1), later.delay()]

        operator("cancel", *(handle.id for handle in handles))

        assert {each.status() for each in handles} == {JobStatus.CANCELLED}
        assert operator.json("delete", "--all", "--yes")["done"] == 2


# -- pause, resume, purge -----------------------------------------------------------------------


def test_pause_and_resume(operator: Operator, store: Store):
    later.delay()

    text = operator("pause", "low", "--reason", "bank is down")

    assert "low is paused until resumed" in text
    paused = get_queue("low").counts().paused
    assert paused is not None
    assert paused.reason == "bank is down"
    assert paused.by.startswith(f"{getpass.getuser()}@")
    assert store.worker("low").claim() == []
    assert operator("resume", "low") == "low goes on.\n"
    assert operator.json("resume", "low") == {"queue": "low", "resumed": False}
    assert len(store.worker("low").claim()) == 1


def test_pause_for_and_until(operator: Operator):
    def until() -> datetime:
        return datetime.fromisoformat(
            operator.json("stats")["queues"][2]["paused"]["until"]
        )

    operator("pause", "low", "--for", "10m", "--by", "anna")
    assert abs(until() - datetime.now(UTC) - timedelta(minutes=10)) < timedelta(
        seconds=5
    )
    operator("pause", "low", "--until", "2040-01-02T03:04Z")
    assert until() == datetime(2040, 1, 2, 3, 4, tzinfo=UTC)
    # The next time that the clock shows it, in the project's time zone.
    at = (datetime.now(UTC) + timedelta(hours=3)).replace(second=0, microsecond=0)
    operator("pause", "low", "--until", f"{at:%H:%M}")
    assert until() == at
    with pytest.raises(CommandError, match="not allowed with"):
        operator("pause", "low", "--for", "1m", "--until", "18:00")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--for", "0"), "for 0.0 is none"),
        (("--until", "2020-01-01T00:00Z"), "until 2020-01-01 .* is over already"),
    ],
)
def test_a_pause_that_would_be_over_at_once_is_refused(
    operator: Operator, words: tuple[str, str], answer: str
):
    with pytest.raises(CommandError, match=answer):
        operator("pause", "low", *words)

    assert get_queue("low").counts().paused is None


def test_purge_wants_a_yes(operator: Operator, answers: Answers):
    kept = add.delay(1)
    later.delay()
    later.using(run_after="1h").delay()

    with pytest.raises(CommandError, match="--yes"):
        operator("purge", "low")
    asked = answers("y")
    text = operator("purge", "low")

    assert asked == ["Delete 1 pending and 1 scheduled job of low for ever? [y/N] "]
    assert text == "2 jobs of low deleted.\n"
    assert kept.status() is JobStatus.PENDING
    assert operator.json("purge", "low") == {"queue": "low", "deleted": 0}


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), ServerUnavailable("away")])
def test_who_is_interrupted_learns_how_much_was_purged(
    operator: Operator,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    trouble: BaseException,
):
    store.add("low", 1200)
    parts = iter([pausing.purge_part])

    def interrupted(queue: str) -> tuple[bool, int]:
        for part in parts:
            return part(queue)
        raise trouble

    monkeypatch.setattr(pausing, "purge_part", interrupted)

    with pytest.raises(CommandError):
        operator("purge", "low", "--yes")

    purged = 1200 - get_queue("low").depth()
    assert 0 < purged < 1200
    assert f"Only {purged:,} jobs of low deleted" in operator.notices


def test_nobody_can_be_asked_where_the_input_is_closed(
    operator: Operator, store: Store, monkeypatch: pytest.MonkeyPatch
):
    store.add("low")
    monkeypatch.setattr("sys.stdin", None)

    with pytest.raises(CommandError, match="say --yes"):
        operator("purge", "low")


def test_a_queue_that_left_the_settings(operator: Operator, store: Store):
    (waiting,) = store.add("gone")

    assert "gone is paused" in operator("pause", "gone")
    assert operator("resume", "gone") == "gone goes on.\n"
    assert operator("purge", "gone", "--yes") == "1 job of gone deleted.\n"
    assert store.status(waiting) is None


@pytest.mark.parametrize("verb", ["pause", "resume", "purge"])
def test_a_queue_that_nobody_knows(operator: Operator, verb: str):
    with pytest.raises(CommandError, match="Did you mean 'high'"):
        operator(verb, "hihg")


# -- stop ----------------------------------------------------------------------------------------


def test_stop_tells_the_worker(operator: Operator, store: Store):
    store.worker("high", name="w1")
    store.worker("high", name="w2")

    assert "w1 was asked to stop" in operator("stop", "w1")

    assert store.beat("w1", "w2").messages == {"w1": ["stop"]}


def test_stop_all_quietly(operator: Operator, store: Store):
    store.worker("high", name="w1")
    dead = store.worker("high", name="w2")
    store.client.zadd(store.keys.workers, {dead.name: 1})

    document = operator.json("stop", "--all", "--quiet")

    assert document["workers"] == [{"name": "w1", "processes": ["w1"]}]
    assert store.beat("w1").messages == {"w1": ["quiet"]}


def test_one_process_of_each_supervisor_is_told(operator: Operator, store: Store):
    """Containers may be called alike."""
    for name, supervisor in (("w1", 7), ("w2", 7), ("w3", 8), ("w4", 8)):
        store.worker("high", name=name)
        store.client.hset(
            store.keys.worker(name),
            mapping={"name": "mail:1", "supervisor": supervisor},
        )

    operator("stop", "mail:1")

    told = store.beat("w1", "w2", "w3", "w4").messages
    assert list(told.values()) == [["stop"], ["stop"]]
    assert {min(each, "w2") for each in told} == {"w1", "w2"}


def test_who_is_gone_before_it_is_told_has_colleagues(
    operator: Operator, store: Store, monkeypatch: pytest.MonkeyPatch
):
    """With few jobs a process they live for a moment only."""

    def begin(name: str) -> None:
        store.worker("high", name=name)
        info = {"name": "mail:1", "supervisor": 7}
        store.client.hset(store.keys.worker(name), mapping=info)

    def tell(worker: str, message: str) -> bool:
        if worker == "w1":
            store.rescue("w1")
            begin("w2")
        return left(worker, message)

    left = staff.tell
    monkeypatch.setattr(staff, "tell", tell)
    begin("w1")

    assert "mail:1 was asked to stop" in operator("stop", "--all")

    assert store.beat("w2").messages == {"w2": ["stop"]}


def test_a_deletion_of_what_ended_spares_what_was_run_again_meanwhile(
    operator: Operator, store: Store, answers: Answers, monkeypatch: pytest.MonkeyPatch
):
    first, second = fail_some(store, 2)
    answers("yes")
    confirm = input

    def run_again_and_confirm(question: str) -> str:
        store.retry(first)
        return confirm(question)

    monkeypatch.setattr("builtins.input", run_again_and_confirm)

    assert "1 unchanged: run again by now" in operator("delete", "--status", "failed")

    assert store.status(first) is JobStatus.PENDING
    assert store.status(second) is None


def test_stop_wants_to_know_whom(operator: Operator, store: Store):
    store.worker("high", name="w1")

    for words in ((), ("w1", "--all")):
        with pytest.raises(CommandError, match="Name a worker"):
            operator("stop", *words)
    with pytest.raises(CommandError, match="Did you mean w1"):
        operator("stop", "w11")
    assert "No worker runs" not in operator("stop", "--all")
