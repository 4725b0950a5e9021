"""Workers in the admin: what they run, what they are asked, and who was lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client, override_settings

from django_redisjobs.admin.formats import when
from django_redisjobs.admin.sources import moment
from django_redisjobs.core.presence import keep_stacks
from tests.integration.core.store import Store, Worker

from .conftest import Staff

WORKERS = "/admin/redisjobs/worker/"
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def operator(staff: Staff) -> Client:
    return staff("view_worker", "view_job", "control_worker")


def crew(store: Store, *ids: str, name: str = "web1:4711", **info: str) -> list[Worker]:
    """A worker with these processes."""
    found = [store.worker("high", "low", name=one) for one in ids]
    for pid, one in enumerate(found, start=4712):
        told = {
            "name": name,
            "host": "web1",
            "pid": str(pid),
            "version": "9.8.7",
            "queues": "high low",
            "threads": "2",
            "async_concurrency": "100",
            "started_ms": str(store.now_ms() - 90_000),
            "memory": "73400000",
        }
        store.client.hset(store.keys.worker(one.name), mapping={**told, **info})
    return found


def page_of(worker: str) -> str:
    return f"{WORKERS}{worker}/change/"


def ask(browser: Client, worker: str, message: str, **more: str) -> Any:
    return browser.post(f"{WORKERS}{worker}/control/", {"message": message, **more})


def said(answer: Any) -> str:
    assert answer.status_code == 302, answer
    return " ".join(map(str, get_messages(answer.wsgi_request)))


def messages_for(store: Store, worker: str) -> list[str]:
    return [
        one.decode() for one in store.client.lrange(store.keys.control(worker), 0, -1)
    ]


def test_workers_with_their_processes_and_what_these_run(store: Store, browser: Client):
    (job_id,) = store.add("low", body='["shop.jobs.import_csv",[],{}]')
    busy, _idle = crew(store, "w-1", "w-2")
    busy.claim()
    crew(store, "v-1", name="web2:99")

    answer = browser.get(WORKERS)
    page, text = answer.context["page"], answer.content.decode()

    workers = page.workers()
    assert [worker.name for worker, _ in workers] == ["web1:4711", "web2:99"]
    first, second = workers[0][1]
    (task,) = first.tasks
    assert (task.function, task.queue) == ("shop.jobs.import_csv", "low")
    assert f"/admin/redisjobs/job/{job_id}/change/" in task.job
    assert not second.tasks
    assert first.heartbeat == "just now" or first.heartbeat.endswith(" ago")
    assert first.memory == "73 MB"
    for piece in ("9.8.7", "high › low", "4712", "1 job runs", page_of("w-1")):
        assert piece in text, piece
    assert 'data-rj-live="rj-workers"' in text
    assert 'name="message"' not in text


def test_a_worker_is_as_old_as_it_is_though_its_processes_are_replaced(
    store: Store, browser: Client
):
    hour = 3_600_000
    began = store.now_ms() - 2 * hour
    crew(store, "w-1", started_ms=str(began + hour), worker_started_ms=str(began))

    ((one, _),) = browser.get(WORKERS).context["page"].workers()
    facts = dict(browser.get(page_of("w-1")).context["worker"].facts())

    assert one.started == when(moment(began))
    assert facts["Started"] == when(moment(began + hour))


def test_a_refresh_is_that_part_alone(store: Store, browser: Client):
    crew(store, "w-1")

    text = browser.get(WORKERS, headers={"X-Redisjobs-Live": "rj-workers"})

    assert text.content.decode().lstrip().startswith('<div id="rj-workers"')


def test_who_fell_silent_and_who_was_lost(store: Store, browser: Client):
    silent, dead = crew(store, "silent-1", "dead-1")
    store.add("low")
    store.rescue(dead, dead.claim(), reason="killed by signal 9 (SIGKILL)")
    store.client.zadd(store.keys.workers, {silent.name: 1000})

    text = browser.get(WORKERS).content.decode()

    assert "silent" in text
    assert "killed by signal 9 (SIGKILL)" in text
    assert "process 4713 on web1" in text


def test_the_page_of_one_process(store: Store, browser: Client):
    (process,) = crew(store, "w-1")
    store.add("low", 25)
    process.claim(25)

    answer = browser.get(page_of("w-1"))
    page, text = answer.context["worker"], answer.content.decode()

    assert dict(page.facts())["Runs at once"] == "2 threads, 100 coroutines"
    assert (len(page.tasks), page.more) == (20, 5)
    assert "and 5 more" in text
    assert "None was asked for" in text
    assert 'name="message"' not in text


def test_a_stack_dump_is_asked_for_and_shown(store: Store, operator: Client):
    crew(store, "w-1")
    assert 'value="dump"' in operator.get(page_of("w-1")).content.decode()

    answer = ask(operator, "w-1", "dump")

    assert answer.url == page_of("w-1")
    assert "what its threads do" in said(answer)
    assert messages_for(store, "w-1") == ["dump"]
    store.do(keep_stacks(store.keys, "w-1", f"Thread {EVIL}"))
    text = operator.get(page_of("w-1")).content.decode()
    assert "Thread &lt;script&gt;" in text
    assert LogEntry.objects.get().change_message == "Stack dump"


@pytest.mark.parametrize("message", ["quiet", "stop"])
def test_who_has_a_worker_end_is_asked_first(
    store: Store, operator: Client, message: str
):
    crew(store, "w-1", "w-2")
    assert f'value="{message}"' in operator.get(WORKERS).content.decode()

    question = ask(operator, "w-1", message)
    assert question.status_code == 200
    assert "web1:4711" in question.content.decode()
    assert messages_for(store, "w-1") == []

    answer = ask(operator, "w-1", message, confirmed="1")
    assert answer.url == WORKERS
    assert "web1:4711 was asked to" in said(answer)
    assert messages_for(store, "w-1") == [message]
    assert LogEntry.objects.get().object_repr == "web1:4711"


def test_those_who_may_only_look_are_refused(store: Store, browser: Client):
    crew(store, "w-1")

    for message in ("dump", "quiet", "stop"):
        assert ask(browser, "w-1", message, confirmed="1").status_code == 403
    assert messages_for(store, "w-1") == []


def test_what_nobody_can_ask(store: Store, operator: Client):
    crew(store, "w-1")

    assert ask(operator, "w-1", "dance").status_code == 404
    assert operator.get(f"{WORKERS}w-1/control/").status_code == 405
    assert "not there any more" in said(ask(operator, "gone-1", "dump"))
    assert "not there any more" in said(ask(operator, "gone-1", "stop", confirmed="1"))


def test_one_worker_of_several_groups_is_told_once(
    redisjobs: dict[str, Any], store: Store, operator: Client
):
    queues = {"high": {}, "low": {}, "away": {"GROUP": "other"}}
    with override_settings(REDISJOBS={**redisjobs, "QUEUES": queues}):
        crew(store, "w-1")

        assert "asked what its threads" in said(ask(operator, "w-1", "dump"))
        assert operator.get(page_of("w-1")).status_code == 200
        assert operator.get(WORKERS).status_code == 200

    assert messages_for(store, "w-1") == ["dump"]


def test_what_workers_tell_is_shown_as_text(store: Store, browser: Client):
    crew(store, "w-1", name=EVIL, host=EVIL, queues=EVIL, version=EVIL, memory="x")
    store.client.lpush(
        store.keys.lost,
        json.dumps(
            {
                "worker": EVIL,
                "reason": EVIL,
                "at_ms": 1,
                "held": 0,
                "name": EVIL,
                "host": EVIL,
                "pid": EVIL,
                "queues": EVIL,
                "started_ms": EVIL,
            }
        ),
    )

    for path in (WORKERS, page_of("w-1")):
        assert EVIL not in browser.get(path).content.decode(), path


@pytest.mark.parametrize("text", ["x", "²", "9" * 5000])
def test_what_workers_tell_may_be_no_number(store: Store, browser: Client, text: str):
    names = ("pid", "started_ms", "memory", "threads", "async_concurrency")
    crew(store, "w-1", **dict.fromkeys(names, text))

    for path in (WORKERS, page_of("w-1"), "/admin/redisjobs/queue/"):
        assert browser.get(path).status_code == 200, path


def test_the_pages_cost_few_round_trips(
    store: Store, browser: Client, trips: list[int]
):
    process, *_ = crew(store, "w-1", "w-2", "w-3")
    store.add("low", 5)
    process.claim(5)
    for path in (WORKERS, page_of("w-1")):
        trips.clear()
        assert browser.get(path).status_code == 200
        assert len(trips) <= 5, (path, trips)


@pytest.mark.parametrize("path", [f"{WORKERS}w-1/control/"])
def test_redis_away_is_a_page(redisjobs: dict[str, Any], operator: Client, path: str):
    with override_settings(REDISJOBS={**redisjobs, "URL": "redis://127.0.0.1:1/0"}):
        assert operator.post(path, {"message": "dump"}).status_code == 503


def test_the_overview_tells_of_who_was_lost_within_a_day(store: Store, browser: Client):
    first, *others = crew(store, "w-1", "w-2", "w-3", "w-4", "w-5")
    store.rescue(first, reason="long ago")
    raw = store.client.lpop(store.keys.lost)
    assert raw is not None
    old = json.loads(raw) | {"at_ms": store.now_ms() - 25 * 3_600_000}
    store.client.rpush(store.keys.lost, json.dumps(old))
    for one in others:
        store.rescue(one, reason=f"killed {one.name}")

    text = browser.get("/admin/redisjobs/queue/").content.decode()

    assert "4 processes lost within a day" in text
    assert "killed w-5" in text
    assert "killed w-2" not in text
    assert "long ago" not in text
    assert "long ago" in browser.get(WORKERS).content.decode()
